"""Two gloo processes, with the base replicated or sharded, get the same result as one process."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.engine.conftest import (
    make_pairs,
    read_json,
    read_lines,
    run_engine,
    write_job,
    write_lines,
)
from tests.training.engine.lives import Life, start_life
from tests.waiting import wait_for
from training.engine.config import (
    EXIT_DONE,
    EXIT_STOPPED,
    DpoJob,
    Lora,
    Model,
    Optimisation,
)
from training.engine.errors import EngineError, Stopped
from training.engine.model import adapters
from training.engine.runtime.locks import Device, wait_for_word
from training.engine.runtime.process import StopRequest
from training.engine.runtime.process_group import Group

SHARDED = {"ACCELERATE_USE_FSDP": "true"}  # what ``accelerate launch --use_fsdp`` sets


def job(base: Path) -> DpoJob:
    """An odd batch, and a last step of one pair, in which the second process has nothing to do."""
    return DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(
            learning_rate=1e-2, epochs=2, batch_size=5, token_budget=128, eval_fraction=0.5
        ),
    )


def start_two(folder: Path, **environment: str) -> list[Life]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        start_life(
            "dpo",
            folder,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            **environment,
        )
        for rank in range(2)
    ]


NewFolder = Callable[[str], Path]


@pytest.fixture(scope="module")
def new_folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> NewFolder:
    def new(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write_job(job(base), folder)
        write_lines(folder / "pairs.jsonl", make_pairs(14, held_out=3))
        return folder

    return new


@pytest.fixture(scope="module")
def alone(new_folder: NewFolder) -> Path:
    folder = new_folder("one")
    assert run_engine("dpo", folder) == EXIT_DONE
    return folder


@pytest.fixture(scope="module", params=["whole", "sharded"])
def pair_of_runs(
    alone: Path, new_folder: NewFolder, request: pytest.FixtureRequest
) -> tuple[Path, Path]:
    folder = new_folder(request.param)
    wish = SHARDED if request.param == "sharded" else {}
    ends = [process.wait() for process in start_two(folder, **wish)]
    assert ends == [EXIT_DONE, EXIT_DONE], (folder / "engine.log").read_text()
    return alone, folder


def test_every_step_is_the_same(pair_of_runs: tuple[Path, Path]) -> None:
    expected, actual = (read_lines(folder / "metrics.jsonl") for folder in pair_of_runs)
    assert len(expected) == len(actual)
    for a, b in zip(expected, actual, strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        for name in ("loss", "reward_margin", "logp_chosen", "logp_reference_rejected"):
            assert b["values"][name] == pytest.approx(a["values"][name], abs=1e-4, rel=1e-5)
        if a["split"] == "train":
            assert b["values"]["grad_norm"] == pytest.approx(a["values"]["grad_norm"], rel=1e-3)
            assert a["values"]["tokens_saved"] == b["values"]["tokens_saved"]


def test_the_adapter_is_the_same(pair_of_runs: tuple[Path, Path]) -> None:
    expected, actual = (
        load_file(f / "adapter" / "adapter_model.safetensors") for f in pair_of_runs
    )
    for name in expected:
        assert (
            float((expected[name] - actual[name]).norm())
            <= 1e-3 * float(expected[name].norm()) + 1e-5
        )
    assert read_json(pair_of_runs[1] / "result.json")["processes"] == 2


def test_a_spread_base_is_not_held_whole(pair_of_runs: tuple[Path, Path]) -> None:
    log = (pair_of_runs[1] / "engine.log").read_text()
    sharded = read_json(pair_of_runs[1] / "result.json")["sharded"]
    held = re.search(r"(\d+) parameters are held here", log)
    assert bool(held) == sharded
    if held:
        total = re.search(r"of (\d+) parameters are trained", log)
        assert total
        layers = 2 * (32 * 32 + 2 * 16 * 32 + 32 * 32 + 3 * 32 * 48 + 2 * 32)  # of the tiny model
        assert int(held[1]) == int(total[1]) - layers // 2


@pytest.mark.parametrize("pair_of_runs", ["sharded"], indirect=True)
def test_stopped_together_and_going_on(pair_of_runs: tuple[Path, Path], tmp_path: Path) -> None:
    """SIGTERM to one process stops both after a step; resumed, they end with the same bits."""
    uninterrupted = pair_of_runs[1]
    folder = tmp_path / "cut"
    folder.mkdir()
    for name in ("job.json", "pairs.jsonl"):
        (folder / name).write_bytes((uninterrupted / name).read_bytes())
    processes = start_two(folder, **SHARDED)
    wait_for(
        lambda: (folder / "metrics.jsonl").exists() or processes[0].poll() is not None,
        "the first metrics",
    )
    processes[0].terminate()
    codes = [process.wait() for process in processes]
    assert codes in ([EXIT_STOPPED] * 2, [EXIT_DONE] * 2)  # it may have been too late to stop
    if codes[0] == EXIT_STOPPED:
        ends = [process.wait() for process in start_two(folder, **SHARDED)]
        assert ends == [EXIT_DONE, EXIT_DONE]
    losses = [
        {
            (row["split"], row["step"]): row["values"]["loss"]
            for row in read_lines(f / "metrics.jsonl")
        }
        for f in (folder, uninterrupted)
    ]
    assert losses[0] == losses[1]


def test_the_others_wait_for_the_first_ones_turn_on_the_device(
    alone: Path, new_folder: NewFolder, tmp_path: Path
) -> None:
    """While the group waits for the device, no process is in a collective that could time out."""
    lock = tmp_path / "device"
    device = Device(lock)
    device.take(StopRequest(), lambda: None)
    folder = new_folder("waiting")
    processes = start_two(folder, WHETSTONE_DEVICE_LOCK=str(lock))
    wait_for(lambda: "waiting for the device" in log_of(folder), "the first process in the queue")
    assert all(process.poll() is None for process in processes)
    assert "device cpu" not in log_of(folder)
    device.give_back()
    assert [process.wait() for process in processes] == [EXIT_DONE, EXIT_DONE]
    expected, actual = (
        read_json(f / "result.json")["final"]["train"]["loss"] for f in (alone, folder)
    )
    assert actual == pytest.approx(expected, abs=1e-4)


def log_of(folder: Path) -> str:
    log = folder / "engine.log"
    return log.read_text() if log.exists() else ""


def test_a_word_of_another_launch_counts_for_nothing(tmp_path: Path) -> None:
    word = tmp_path / "device-turn"
    word.write_text('{"launch": "yesterday\'s"}')
    stop = StopRequest()
    stop.set()
    with pytest.raises(Stopped):
        wait_for_word(word, "today's", stop)
    wait_for_word(word, "yesterday's", stop)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(EngineError, match="2 processes were launched here, for 1 GPU"):
        Group()


def test_a_base_whose_weights_another_process_reads_has_its_shape_alone(base: Path) -> None:
    model = Model(base=str(base))
    shape = adapters.load_base(model, torch.bfloat16, torch.device("meta"))
    full = adapters.load_base(model, torch.bfloat16, torch.device("cpu"))
    assert all(parameter.is_meta for parameter in shape.parameters())
    assert {n: (p.shape, p.dtype) for n, p in shape.named_parameters()} == {
        n: (p.shape, p.dtype) for n, p in full.named_parameters()
    }
