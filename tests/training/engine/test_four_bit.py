"""QLoRA: a base in 4 bits, really quantised by bitsandbytes, here on the CPU."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.engine import policy
from training.engine.config import EXIT_DONE, EXIT_FAILED, DpoJob, Lora, Model, Optimisation, SftJob

from .conftest import (
    make_model,
    make_pairs,
    make_tokenizer,
    read_json,
    read_lines,
    run_engine,
)

pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
NewRun = Callable[..., Path]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for bitsandbytes, which packs 32 outputs together where a CPU has AMX."""
    folder = tmp_path_factory.mktemp("wide")
    tokenizer = make_tokenizer(folder)
    make_model(folder, len(tokenizer), hidden_size=128, intermediate_size=192)
    return folder


def job(base: Path) -> DpoJob:
    return DpoJob(
        model=Model(base=str(base)),
        load_in_4bit=True,
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(learning_rate=2e-2, epochs=4, batch_size=8),
    )


def test_it_trains(base: Path, new_run: NewRun) -> None:
    """Step 0 is ln 2, the loss falls, and the reference is the quantised base itself."""
    folder = new_run("four", job(base), pairs=make_pairs(16))
    assert run_engine("dpo", folder) == EXIT_DONE, read_json(folder / "error.json")
    losses = [row["values"]["loss"] for row in read_lines(folder / "metrics.jsonl")]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < 0.8 * losses[0]
    assert read_json(folder / "result.json")["layout"] == "shared"


def test_the_weights_are_in_four_bits(base: Path) -> None:
    device = torch.device("cpu")
    whole = policy.load_base(Model(base=str(base)), torch.float32, device)
    small = policy.load_base(Model(base=str(base)), torch.float32, device, four_bit=True)
    name = "model.layers.0.mlp.up_proj"
    packed = small.get_submodule(name).weight
    assert packed.dtype == torch.uint8
    assert packed.numel() * 2 == whole.get_submodule(name).weight.numel()
    assert small.get_output_embeddings().weight.dtype == torch.float32


def test_a_reference_of_the_whole_base_is_not_taken_for_it(base: Path, new_run: NewRun) -> None:
    cache = str(base.parent / "four-bit-cache")
    four = dataclasses.replace(job(base), reference_cache=cache)
    pairs = make_pairs(4)
    whole = dataclasses.replace(four, load_in_4bit=False)
    for name, one in (("whole", whole), ("four", four)):
        folder = new_run(name, one, pairs=pairs)
        assert run_engine("dpo", folder) == EXIT_DONE
        assert read_json(folder / "result.json")["reference_cached"] == 0


def test_a_warm_up_may_use_it_too(base: Path, new_run: NewRun) -> None:
    settings = Optimisation(learning_rate=1e-2, batch_size=8)
    sft = SftJob(model=Model(base=str(base)), load_in_4bit=True, optimisation=settings)
    assert run_engine("sft", new_run("sft", sft, pairs=make_pairs(8))) == EXIT_DONE


def test_without_the_library_it_is_refused_in_words(
    base: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.engine.policy.importlib.util.find_spec", lambda _: None)
    folder = new_run("none", job(base), pairs=make_pairs(2))
    assert run_engine("dpo", folder) == EXIT_FAILED
    assert "bitsandbytes" in read_json(folder / "error.json")["message"]
