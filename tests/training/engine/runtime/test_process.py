"""The engine as a process: asked to stop, killed, orphaned, and waiting for the device."""

from __future__ import annotations

import dataclasses
import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.engine.conftest import (
    make_pairs,
    read_json,
    read_lines,
    run_engine,
    start_engine,
    write_job,
    write_lines,
)
from tests.training.engine.lives import start_life
from training.engine.__main__ import leave_out, needless
from training.engine.config import (
    EXIT_DONE,
    EXIT_STOPPED,
    DpoJob,
    Lora,
    Model,
    Optimisation,
)

NewRun = Callable[..., Path]


def long_job(base: Path) -> DpoJob:
    """Forty steps, a checkpoint every ten, LoRA dropout so that random state matters."""
    return DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, dropout=0.1),
        optimisation=Optimisation(
            learning_rate=5e-3, epochs=10, batch_size=16, checkpoint_fraction=0.1, token_budget=256
        ),
    )


def losses(folder: Path) -> dict[tuple[str, int], float]:
    """The newest loss of every step, exactly as written."""
    rows = read_lines(folder / "metrics.jsonl")
    return {(row["split"], row["step"]): row["values"]["loss"] for row in rows}


@pytest.fixture(scope="module")
def undisturbed(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_job(long_job(base), folder)
    write_lines(folder / "pairs.jsonl", make_pairs(64, held_out=8))
    assert run_engine("dpo", folder) == EXIT_DONE
    return folder


def wait_until(condition: Callable[[], bool], seconds: float = 280) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.01)


def lines_of(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_asked_to_stop_and_started_again_it_ends_the_same(
    base: Path, new_run: NewRun, undisturbed: Path
) -> None:
    folder = new_run("cut", long_job(base), pairs=make_pairs(64, held_out=8))
    engine = start_life("dpo", folder)
    wait_until(lambda: lines_of(folder / "metrics.jsonl") > 14 or engine.poll() is not None)
    engine.terminate()
    assert engine.wait() == EXIT_STOPPED
    assert not (folder / "result.json").exists()
    assert not (folder / "error.json").exists()
    ends_as(folder, undisturbed)


@pytest.mark.parametrize("damaged", [False, True])
def test_killed_and_started_again_it_ends_the_same(
    base: Path, new_run: NewRun, undisturbed: Path, damaged: bool
) -> None:
    """Also if the newest checkpoint has been damaged since: then from the one before."""
    folder = new_run("cut", long_job(base), pairs=make_pairs(64, held_out=8))
    engine = start_life("dpo", folder)
    wait_until(lambda: len(list(folder.glob("checkpoint-*"))) >= 2 or engine.poll() is not None)
    engine.kill()
    engine.wait()
    if damaged:
        newest = max(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
        (newest / "optimizer.pt").write_bytes(b"damaged")
    ends_as(folder, undisturbed)
    if damaged:
        assert "optimizer.pt is not what was written" in (folder / "engine.log").read_text()


def ends_as(folder: Path, other: Path) -> None:
    """Run ``folder`` to its end from a checkpoint: every number is the same, to the last bit."""
    assert run_engine("dpo", folder) == EXIT_DONE
    assert "going on from checkpoint-" in (folder / "engine.log").read_text()
    assert losses(folder) == losses(other)
    sha = read_json(folder / "result.json")["adapter_sha256"]
    assert sha == read_json(other / "result.json")["adapter_sha256"]


def test_stopped_before_the_first_step_it_begins_again(base: Path, new_run: NewRun) -> None:
    folder = new_run("early", long_job(base), pairs=make_pairs(64))
    engine = start_life("dpo", folder)
    wait_until((folder / "heartbeat").exists)
    engine.terminate()
    assert engine.wait() == EXIT_STOPPED
    assert read_json(folder / "heartbeat")["phase"] == "stopped"
    assert not (folder / "error.json").exists()


@pytest.mark.slow
def test_it_ends_with_its_parent(base: Path, new_run: NewRun) -> None:
    job = dataclasses.replace(long_job(base), optimisation=Optimisation(epochs=2000, batch_size=4))
    folder = new_run("orphan", job, pairs=make_pairs(64))
    script = (
        "import os, subprocess, sys, time\n"
        "env = {**os.environ, 'WHETSTONE_PARENT_PID': str(os.getpid())}\n"
        "child = subprocess.Popen([sys.executable, '-m', 'training.engine', 'dpo', sys.argv[1]],"
        " env=env, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "WHETSTONE_THREADS": "1"},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_until(lambda: lines_of(folder / "metrics.jsonl") > 3)
    parent.kill()
    parent.wait(10)

    def gone() -> bool:
        try:
            return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(gone)
    assert list(folder.glob("checkpoint-*")), "it left without a checkpoint"


def test_it_does_not_start_for_a_parent_that_is_gone(base: Path, new_run: NewRun) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(60)
    folder = new_run("late", long_job(base), pairs=make_pairs(4))
    engine = start_engine("dpo", folder, WHETSTONE_PARENT_PID=str(dead.pid))
    _, stderr = engine.communicate(timeout=280)
    assert engine.returncode == 1
    assert "already gone" in stderr
    assert not (folder / "heartbeat").exists()


def test_it_waits_for_the_device(base: Path, new_run: NewRun, tmp_path: Path) -> None:
    job = dataclasses.replace(long_job(base), optimisation=Optimisation())
    folder = new_run("queue", job, pairs=make_pairs(4))
    lock = tmp_path / "device.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        engine = start_life("dpo", folder, WHETSTONE_DEVICE_LOCK=str(lock))
        beat = folder / "heartbeat"
        wait_until(lambda: beat.exists() and read_json(beat)["phase"] == "waiting for the device")
        fcntl.flock(held, fcntl.LOCK_UN)
    assert engine.wait() == EXIT_DONE


def test_packages_that_a_job_needs_not_stay_out(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(folder: Path | str, **fields: bool) -> DpoJob:
        return DpoJob(model=Model(base=str(folder)), **fields)

    quantised = tmp_path / "quantised"
    quantised.mkdir()
    (quantised / "config.json").write_text('{"quantization_config": {"load_in_4bit": true}}')
    assert needless(job(base)) == ["datasets", "bitsandbytes"]
    for needs_it in (job(base, load_in_4bit=True), job(quantised), job("some/model")):
        assert needless(needs_it) == ["datasets"]

    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    leave_out(["json", "nowhere"])
    assert importlib.util.find_spec("nowhere") is None
    assert sys.modules["json"] is json
