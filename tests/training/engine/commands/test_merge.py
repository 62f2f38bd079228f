"""An adapter trained here loads in plain peft, and merged in plain transformers: same logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.engine.conftest import WORDS, read_json, run_engine, write_job
from training.engine.config import EXIT_DONE, EXIT_FAILED, MergeJob, Model

NewRun = Callable[..., Path]


def ids(base: Path) -> torch.Tensor:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    messages = [{"role": "user", "content": " ".join(WORDS[:12])}]
    return tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]


@torch.no_grad()
def logits_of(model: torch.nn.Module, asked: torch.Tensor) -> torch.Tensor:
    return model.eval()(asked).logits


@pytest.fixture(scope="module")
def ours(base: Path, talker: Path) -> torch.Tensor:
    """The logits that the engine itself computes with the adapter."""
    from training.engine.model import adapters

    model = adapters.load_base(Model(base=str(base)), torch.float32, torch.device("cpu"))
    model = adapters.add_adapter(model, talker, "it")
    with adapters.speaking_as(model, "it"):
        return logits_of(model, ids(base))


@pytest.fixture(scope="module")
def merged(base: Path, talker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:

    folder = tmp_path_factory.mktemp("merge")
    job = MergeJob(model=Model(base=str(base)), adapter=str(talker), shard_size="40KB")
    write_job(job, folder)
    assert run_engine("merge", folder) == EXIT_DONE
    return folder


def test_the_adapter_loads_in_plain_peft_with_the_same_logits(
    base: Path, talker: Path, ours: torch.Tensor
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    bare = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits_of(bare, ids(base))
    theirs = logits_of(PeftModel.from_pretrained(bare, talker), ids(base))
    assert (theirs - before).abs().max() > 0.5  # it has learnt something
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)


def test_the_merged_model_loads_in_plain_transformers_with_the_same_logits(
    base: Path, merged: Path, ours: torch.Tensor
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = merged / "merged"
    theirs = logits_of(AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), ids(base))
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template


def test_it_is_safetensors_in_shards_with_every_hash(merged: Path) -> None:
    from training.engine.runtime.run_dir import sha256_of

    folder = merged / "merged"
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 1
    assert not list(folder.glob("*.bin"))
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == set(shards)
    hashes = read_json(merged / "result.json")["files"]
    assert hashes == {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_bf16_differs_by_its_rounding_alone(
    base: Path, talker: Path, ours: torch.Tensor, new_run: NewRun
) -> None:
    from transformers import AutoModelForCausalLM

    job = MergeJob(model=Model(base=str(base)), adapter=str(talker), precision="bf16")
    folder = new_run("bf16", job)
    assert run_engine("merge", folder) == EXIT_DONE
    model = AutoModelForCausalLM.from_pretrained(folder / "merged", dtype="auto")
    assert model.dtype is torch.bfloat16
    off = (logits_of(model.float(), ids(base)) - ours).abs().max()
    assert off < 0.03 * ours.abs().max()


def test_an_absent_adapter_is_named(base: Path, tmp_path: Path, new_run: NewRun) -> None:
    job = MergeJob(model=Model(base=str(base)), adapter=str(tmp_path / "nowhere"))
    folder = new_run("absent", job)
    assert run_engine("merge", folder) == EXIT_FAILED
    assert "nowhere" in read_json(folder / "error.json")["message"]
    assert not (folder / "merged").exists()
