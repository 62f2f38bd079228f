"""A round that is interrupted repeatedly ends bit for bit like an uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.engine.conftest import make_pairs, read_json, read_lines, run_engine
from tests.training.engine.runtime.test_process import losses
from training.engine.__main__ import run_job
from training.engine.config import (
    EXIT_DONE,
    EXIT_STOPPED,
    DpoJob,
    Lora,
    Model,
    Optimisation,
)
from training.engine.runtime.process import StopRequest

AT = (3, 7, 8, 21, 34)  # of forty steps; two are adjacent, one is just after a checkpoint


def stopping_at(folder: Path, step: int) -> StopRequest:
    """A stop request that comes, like SIGTERM, somewhere within this step."""

    class AtStep(StopRequest):
        def __bool__(self) -> bool:
            path = folder / "metrics.jsonl"
            done = [row["step"] for row in read_lines(path)] if path.exists() else []
            return max(done, default=0) >= step

    return AtStep()


@pytest.mark.slow
def test_interrupted_five_times_it_ends_the_same(base: Path, new_run: Callable[..., Path]) -> None:
    job = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, dropout=0.1),
        optimisation=Optimisation(
            learning_rate=5e-3, epochs=10, batch_size=16, checkpoint_fraction=0.2, token_budget=256
        ),
    )
    pairs = make_pairs(64, held_out=8)
    uninterrupted, interrupted = (new_run(name, job, pairs=pairs) for name in ("whole", "cut"))
    assert run_engine("dpo", uninterrupted) == EXIT_DONE
    for step in AT:
        assert run_job("dpo", interrupted, stopping_at(interrupted, step)) == EXIT_STOPPED
        assert not (interrupted / "result.json").exists()
    assert run_engine("dpo", interrupted) == EXIT_DONE
    assert (interrupted / "engine.log").read_text().count("going on from checkpoint-") == len(AT)

    first, again = (
        folder / "adapter" / "adapter_model.safetensors" for folder in (uninterrupted, interrupted)
    )
    assert first.read_bytes() == again.read_bytes()
    assert losses(uninterrupted) == losses(interrupted)
    results = [read_json(folder / "result.json") for folder in (uninterrupted, interrupted)]
    assert results[0]["adapter_sha256"] == results[1]["adapter_sha256"]
    origins = [
        read_json(folder / "adapter" / "provenance.json") for folder in (uninterrupted, interrupted)
    ]
    assert origins[0] == origins[1] == results[0]["provenance"]


def test_what_computed_the_parts_before_is_told(
    base: Path, new_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = DpoJob(model=Model(base=str(base)), lora=Lora(r=4), optimisation=Optimisation(epochs=4))
    folder = new_run("moved", job, pairs=make_pairs(32, held_out=0))
    for code, step, status in (
        ("first", 1, EXIT_STOPPED),
        ("first", 2, EXIT_STOPPED),
        ("second", 3, EXIT_STOPPED),
        ("third", 99, EXIT_DONE),
    ):
        monkeypatch.setenv("WHETSTONE_CODE_VERSION", code)
        assert run_job("dpo", folder, stopping_at(folder, step)) == status
    origin = read_json(folder / "adapter" / "provenance.json")
    assert origin["code"] == "third"
    assert [part["code"] for part in origin["earlier_parts"]] == ["first", "second"]
    assert origin["earlier_parts"][0]["hardware"] == origin["hardware"]
