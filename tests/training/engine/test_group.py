"""Two gloo processes that train together end as one process does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from training.engine.config import EXIT_DONE, EXIT_STOPPED, DpoJob, Lora, Model, Optimisation

from .conftest import ROOT, make_pairs, read_json, read_lines, run_engine

NewRun = Callable[..., Path]


def job(base: Path) -> DpoJob:
    """An odd batch, and a last step of one pair: the second process then has nothing to do."""
    return DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(
            learning_rate=1e-2, epochs=2, batch_size=5, token_budget=128, eval_fraction=0.5
        ),
    )


def start_two(folder: Path) -> list[subprocess.Popen[bytes]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "training.engine", "dpo", str(folder)],
            cwd=ROOT,
            env={
                **os.environ,
                "HF_HUB_OFFLINE": "1",
                "WHETSTONE_THREADS": "1",
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            },
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def pair_of_runs(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from training.engine.config import write_job

    from .conftest import write_lines

    folders = []
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        write_job(job(base), folder)
        write_lines(folder / "pairs.jsonl", make_pairs(14, held_out=3))
        folders.append(folder)
    assert run_engine("dpo", folders[0]) == EXIT_DONE
    assert [process.wait(200) for process in start_two(folders[1])] == [EXIT_DONE, EXIT_DONE]
    return folders[0], folders[1]


def test_every_step_is_the_same(pair_of_runs: tuple[Path, Path]) -> None:
    one, two = (read_lines(folder / "metrics.jsonl") for folder in pair_of_runs)
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        for name in ("loss", "reward_margin", "logp_chosen", "logp_reference_rejected"):
            assert b["values"][name] == pytest.approx(a["values"][name], abs=1e-4, rel=1e-5)
        if a["split"] == "train":
            assert b["values"]["grad_norm"] == pytest.approx(a["values"]["grad_norm"], rel=1e-3)
            assert a["values"]["tokens_saved"] == b["values"]["tokens_saved"]


def test_the_adapter_is_the_same(pair_of_runs: tuple[Path, Path]) -> None:
    one, two = (load_file(f / "adapter" / "adapter_model.safetensors") for f in pair_of_runs)
    for name in one:
        assert float((one[name] - two[name]).norm()) <= 1e-3 * float(one[name].norm()) + 1e-5
    assert read_json(pair_of_runs[1] / "result.json")["processes"] == 2


def test_stopped_together_and_going_on(
    base: Path, new_run: NewRun, pair_of_runs: tuple[Path, Path]
) -> None:
    """SIGTERM to one of them stops both at a step's end; they go on from its checkpoint."""
    import time

    folder = new_run("cut", job(base), pairs=make_pairs(14, held_out=3))
    processes = start_two(folder)
    deadline = time.monotonic() + 120
    while not (folder / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[0].terminate()
    codes = [process.wait(120) for process in processes]
    assert codes in ([EXIT_STOPPED] * 2, [EXIT_DONE] * 2)  # it may have been too late to stop
    if codes[0] == EXIT_STOPPED:
        assert [process.wait(200) for process in start_two(folder)] == [EXIT_DONE, EXIT_DONE]
    losses = [
        {
            (row["split"], row["step"]): row["values"]["loss"]
            for row in read_lines(f / "metrics.jsonl")
        }
        for f in (folder, pair_of_runs[1])
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
