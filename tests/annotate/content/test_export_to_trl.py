"""TRL and datasets take the exported file as it is."""

import json

import pytest

from annotate.content.export import pair_lines, pairs_of
from annotate.importing import FileKind, RowChoices, import_file
from tests.factories import make_project

pytestmark = [pytest.mark.django_db, pytest.mark.peer]


def user(content):
    return {"role": "user", "content": content}


RECORDS = [
    {"prompt": "Capital of France?", "chosen": "Paris.", "rejected": "I do not know."},
    {
        "prompt": [{"role": "system", "content": "Be brief."}, user("2 + 2?")],
        "chosen": "4",
        "rejected": "Well, that depends.",
    },
    {
        "prompt": [user("Hi"), {"role": "assistant", "content": "Hello."}, user("Bye")],
        "chosen": "Good bye! 👋\n\n* See you",
        "rejected": "",
        "weight": 0.5,
    },
]


@pytest.fixture
def exported(tmp_path):
    project = make_project()
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    with file.open("rb") as opened:
        import_file(
            project=project,
            kind=FileKind.PAIRS,
            file=opened,
            choices=RowChoices(take_empty=True),
        )
    out = tmp_path / "pairs.jsonl"
    out.write_bytes(b"".join(pair_lines(pairs_of(project))))
    return out


@pytest.fixture
def dataset(exported, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(
        "json", data_files=str(exported), split="train", cache_dir=str(tmp_path / "cache")
    )


def test_datasets_reads_it_as_it_is(dataset):
    assert dataset.column_names == [
        "prompt",
        "chosen",
        "rejected",
        "id",
        "weight",
        "agreement",
        "split",
    ]
    assert dataset[2]["prompt"] == RECORDS[2]["prompt"]
    assert dataset[2]["chosen"] == [{"role": "assistant", "content": RECORDS[2]["chosen"]}]
    assert dataset[2]["weight"] == 0.5


def test_trl_takes_a_step_on_it(dataset, tmp_path):
    trl = pytest.importorskip("trl")
    model, tokenizer = tiny_llama(dataset, tmp_path / "model")
    trainer = trl.DPOTrainer(
        model=model,
        args=trl.DPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=1,
            per_device_train_batch_size=3,
            report_to=[],
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
        ),
        train_dataset=dataset,
        processing_class=tokenizer,
    )
    loss = trainer.train().training_loss
    assert loss == pytest.approx(0.6931, abs=1e-3)  # ln 2: before its first step nothing has moved


def tiny_llama(dataset, folder):
    """A random Llama, and a tokenizer trained on the pairs themselves."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        [json.dumps(row) for row in dataset],
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<pad>", "<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<end>{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    # TRL makes its reference from the folder that the model was loaded from.
    LlamaForCausalLM(config).save_pretrained(folder)
    return LlamaForCausalLM.from_pretrained(folder), tokenizer
