"""A tiny random Llama with a small trained tokenizer, made once, and run directories for it."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from training.engine import config
from training.engine.config import EngineJob, MergeJob

ROOT = Path(__file__).resolve().parents[3]
torch.set_num_threads(1)  # two threads only slow each other down on such a small model

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = (  # noqa: SIM905
    "what is the capital of france paris london berlin rome add two and three five six "
    "please tell me how to make tea boil water wait pour I do not know sorry yes no good bad"
).split()


def make_tokenizer(folder: Path, *, template: str | None = CHATML) -> Any:
    """A byte-level BPE tokenizer trained on a few words, saved into ``folder``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        [" ".join(WORDS)] * 3,
        trainers.BpeTrainer(
            vocab_size=340,
            special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|pad|>"
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_model(folder: Path, vocabulary: int, seed: int = 0, **changes: Any) -> Any:
    """A two-layer random Llama with grouped queries, saved into ``folder``."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "bos_token_id": None,
        "initializer_range": 0.15,  # larger than usual: the distribution must not be flat
    }
    config = LlamaConfig(**{**shape, **changes})
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tokenizer = make_tokenizer(folder)
    make_model(folder, len(tokenizer))
    return folder


def make_pairs(count: int, seed: int = 0, held_out: int = 0) -> list[dict[str, Any]]:
    """Random pairs of uneven lengths; the last ``held_out`` of them are not trained on."""
    rng = random.Random(seed)

    def text(low: int, high: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))

    return [
        {
            "id": f"p{i}",
            "prompt": [{"role": "user", "content": text(2, 12)}],
            "chosen": [{"role": "assistant", "content": text(1, 8)}],
            "rejected": [{"role": "assistant", "content": text(1, 14)}],
            "split": "held_out" if i >= count - held_out else "train",
        }
        for i in range(count)
    ]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    # Not splitlines: a random model writes line separators, which JSON does not escape.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def write_job(job: EngineJob, folder: Path) -> None:
    """Write ``job.json``, in fp32 if the job does not name a number format.

    A CPU that multiplies bf16 would otherwise use that, and these tests compare more closely
    than bf16 allows.
    """
    if job.precision == "auto" and not isinstance(job, MergeJob):
        job = dataclasses.replace(job, precision="fp32")
    config.write_job(job, folder)


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Path]:
    """A run directory with a job and, by file name, rows of data."""

    def new(name: str, job: EngineJob, **files: list[dict[str, Any]]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        write_job(job, folder)
        for stem, rows in files.items():
            write_lines(folder / f"{stem}.jsonl", rows)
        return folder

    return new


def run_engine(kind: str, folder: Path) -> int:
    """Run the engine in this process: quick, for tests that do not need a separate one."""
    from training.engine.__main__ import run_job

    return run_job(kind, folder)


@pytest.fixture(scope="session")
def talker(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has been trained to write short answers and to end them."""
    from training.engine.config import Lora, Model, Optimisation, SftJob

    folder = tmp_path_factory.mktemp("talker")
    settings = Optimisation(learning_rate=2e-2, epochs=12, batch_size=8)
    job = SftJob(model=Model(base=str(base)), lora=Lora(r=8), optimisation=settings)
    write_job(job, folder)
    write_lines(folder / "pairs.jsonl", make_pairs(48, seed=2))
    assert run_engine("sft", folder) == 0
    return folder / "adapter"


def start_engine(kind: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the engine as the web process does: in its own process, without the network."""
    return subprocess.Popen(
        [sys.executable, "-m", "training.engine", kind, str(folder)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "WHETSTONE_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )
