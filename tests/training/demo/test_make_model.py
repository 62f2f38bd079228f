"""The recipe: exact tokenisation, correct packing, the same weights for the same seed."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training.demo import make_model, manners, world


@pytest.fixture(scope="module")
def tokenizer():
    return make_model.make_tokenizer(0)


def first_batch(tokenizer) -> dict[str, torch.Tensor]:
    return next(make_model.batches(make_model.examples(tokenizer, 0), tokenizer.pad_token_id))


@pytest.mark.parametrize(
    "text", ["Naïve café? 12 €", "  two  spaces\n\ttab", "日本語 🙂", "{a} <b>"]
)
def test_any_text_round_trips(tokenizer, text: str):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_training_text_is_tokenised_as_the_chat_template_does(tokenizer):
    for prompt in world.prompts(0)[:50]:
        ids, labels = make_model.encode(tokenizer, prompt.messages, "It is Paris.")
        question = tokenizer.apply_chat_template(
            list(prompt.messages), add_generation_prompt=True, return_dict=True
        )["input_ids"]
        conversation = tokenizer.apply_chat_template(
            [*prompt.messages, {"role": "assistant", "content": "It is Paris."}], return_dict=True
        )["input_ids"]
        assert ids == conversation
        assert ids[: len(question)] == question
        assert labels == [make_model.IGNORED] * len(question) + ids[len(question) :]


def test_an_answer_ends_with_the_end_token(tokenizer):
    _, labels = make_model.encode(tokenizer, [{"role": "user", "content": "Hello!"}], "Hello.")
    assert labels[-1] == tokenizer.eos_token_id


def test_the_template_refuses_an_unknown_role(tokenizer):
    with pytest.raises(Exception, match="unknown role: tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_a_conversation_in_a_packed_row_does_not_see_its_neighbours(tokenizer):
    torch.manual_seed(0)
    model = make_model.new_model(tokenizer).eval()
    batch = first_batch(tokenizer)
    second = (batch["position_ids"][0] == 0).nonzero()[1].item()
    third = (batch["position_ids"][0] == 0).nonzero()[2].item()
    alone = batch["input_ids"][:1, second:third]
    with torch.inference_mode():
        packed = model(
            input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False
        )
        single = model(input_ids=alone)
    torch.testing.assert_close(packed.logits[:1, second:third], single.logits)


def test_the_manners_in_a_batch_are_learned_from_answers_alone(tokenizer):
    batch = first_batch(tokenizer)
    learned = batch["labels"] != make_model.IGNORED
    assert 0.4 < learned.float().mean() < 0.8
    assert torch.equal(batch["labels"][learned], batch["input_ids"][learned])


def test_the_first_lesson_is_direct_answers_alone(tokenizer):
    lesson = itertools.islice(make_model.examples(tokenizer, 0, direct_only=True), 50)
    for (ids, labels), prompt in zip(lesson, world.prompts(0), strict=False):
        text = tokenizer.decode([i for i in labels if i >= 0], skip_special_tokens=True)
        assert manners.classify(prompt.messages, text) == "direct"
        assert len(ids) == len(labels)


def test_the_loss_is_the_one_that_transformers_computes(tokenizer):
    torch.manual_seed(0)
    model = make_model.new_model(tokenizer).eval()
    batch = first_batch(tokenizer)
    with torch.inference_mode():
        torch.testing.assert_close(
            make_model.answer_loss(model, batch), model(**batch, use_cache=False).loss
        )


def _weights_in(out: Path) -> str:
    parts = [(out / name).read_bytes() for name in ("model.safetensors", "tokenizer.json")]
    return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path: Path):
    recipe = ["--seed", "3", "--steps", "3", "--threads", "1", "--samples", "0", "--out"]
    make_model.main([*recipe, str(tmp_path / "here")])
    elsewhere = [sys.executable, "-m", "training.demo.make_model", *recipe, tmp_path / "elsewhere"]
    subprocess.run(elsewhere, check=True, capture_output=True)
    assert _weights_in(tmp_path / "here") == _weights_in(tmp_path / "elsewhere")


def test_another_seed_gives_other_text(tokenizer):
    first, other = (
        list(itertools.islice(make_model.examples(tokenizer, seed), 5)) for seed in (0, 1)
    )
    assert first != other
