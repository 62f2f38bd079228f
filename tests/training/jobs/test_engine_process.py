"""The engine as a child process: jobs that it refuses, and jobs that are stopped."""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from tests.conftest import ROOT, THOROUGH, wait_for
from training.engine.config import DpoJob, Lora, Model, Optimisation, write_job
from training.jobs import engine_process
from training.jobs.engine_process import (
    EngineEnding,
    Heartbeat,
    Tail,
    end_orphans,
    read_progress,
    run_engine,
)

DEMO_MODEL = ROOT / "training" / "demo" / "model"


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_tail_gives_each_whole_line_once(tmp_path):
    path = tmp_path / "lines.jsonl"
    tail = Tail(path)
    assert list(tail.read()) == []
    path.write_text('{"n": 1}\n{"n": 2}\n{"n":')
    assert [line["n"] for line in tail.read()] == [1, 2]
    with path.open("a") as file:
        file.write(" 3}\n")
    assert [line["n"] for line in tail.read()] == [3]
    assert list(tail.read()) == []


def test_a_tail_starts_over_where_the_file_was_cut_back(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text('{"n": 1}\n{"n": 2}\n')
    tail = Tail(path)
    list(tail.read())
    path.write_text('{"n": 1}\n')
    assert [line["n"] for line in tail.read()] == [1]


def test_no_heartbeat_yet_is_no_progress(tmp_path):
    assert read_progress(tmp_path).step == 0


def test_a_job_that_the_engine_refuses_comes_back_in_its_words(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"kind": "dpo", "model": {}}))
    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=lambda _: "go on")
    assert ending.status == 1
    assert ending.result is None
    assert "model.base" in ending.words()


def test_the_engine_stops_when_told(tmp_path, monkeypatch):
    monkeypatch.setattr("training.jobs.engine_process.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(
        "training.jobs.engine_process._launcher",
        lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"],
    )
    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=lambda _: "stop")
    assert ending.status < 0


def test_a_child_that_ignores_the_request_is_ended_with_all_of_its_group(tmp_path, monkeypatch):
    stubborn = (
        "import os, signal, subprocess, sys, time;"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "child = subprocess.Popen(['sleep', '600']);"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid));"
        "time.sleep(600)"
    )
    monkeypatch.setattr("training.jobs.engine_process.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(
        "training.jobs.engine_process._launcher", lambda *_: [sys.executable, "-c", stubborn]
    )

    def follow(_):
        return "stop" if (tmp_path / "pid").exists() else "go on"

    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=follow)
    assert ending.status == -9
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(pid), "the group's end")


@pytest.mark.parametrize(
    ("ending", "phrase"),
    [
        (EngineEnding(-9, None, None), "SIGKILL"),
        (EngineEnding(-9, None, None), "memory"),
        (EngineEnding(3, None, None), "status 3"),
        (
            EngineEnding(1, None, {"message": "No such model.", "advice": "Name another."}),
            "No such",
        ),
        (
            EngineEnding(1, None, {"message": "No such model.", "advice": "Name another."}),
            "Name another",
        ),
    ],
)
def test_an_ending_has_words(ending, phrase):
    assert phrase in ending.words()


@pytest.mark.parametrize(
    ("ending", "again"),
    [
        (EngineEnding(-9, None, None), True),
        (EngineEnding(-9, None, None, was_silent=True), True),
        (EngineEnding(1, None, None), True),  # a launcher whose child was killed
        (EngineEnding(1, None, {"message": "The loss is nan"}), False),
        (EngineEnding(75, None, None), False),
        (EngineEnding(0, {"state": "succeeded"}, None), False),
    ],
)
def test_only_what_did_not_end_by_itself_is_worth_another_attempt(ending, again):
    assert ending.may_go_on == again


def test_an_engine_without_a_heartbeat_is_ended_and_says_so(tmp_path, monkeypatch, settings):
    settings.SILENT_SECONDS = 0.5
    monkeypatch.setattr(
        "training.jobs.engine_process._launcher",
        lambda *_: [sys.executable, "-c", "import time; time.sleep(600)"],
    )
    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=lambda _: "go on")
    assert ending.was_silent
    assert ending.may_go_on
    assert "no sign of life" in ending.words()


@pytest.mark.parametrize(("wish", "renewed"), [("stop", True), ("lost", False)])
def test_the_lease_is_renewed_unless_the_job_is_lost(tmp_path, monkeypatch, wish, renewed):
    """An engine asked to stop may take time for a checkpoint; one that was replaced may not."""
    seen = []

    def follow(_):
        seen.append((tmp_path / "lease").stat().st_mtime > 1)
        os.utime(tmp_path / "lease", (1, 1))
        return wish

    monkeypatch.setattr("training.jobs.engine_process.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(
        "training.jobs.engine_process._launcher",
        lambda *_: [
            sys.executable,
            "-c",
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
        ],
    )
    run_engine(kind="dpo", run_dir=tmp_path, follow=follow)
    assert seen[0]
    assert seen[1] is renewed


def test_silence_is_not_counted_while_nobody_listens(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("training.jobs.engine_process.time.monotonic", lambda: now[0])
    beat = tmp_path / "heartbeat"
    pulse = Heartbeat(beat)
    silences = []
    for seconds in (1, 2, 60, 3):  # during the third wait the worker itself was suspended
        now[0] += seconds
        silences.append(pulse.silence())
    assert silences == [1, 3, 0, 3]
    beat.touch()
    assert pulse.silence() == 0


def test_no_room_for_the_reason_is_the_reason(tmp_path, monkeypatch):
    (tmp_path / "job.json").write_text("{")
    monkeypatch.setattr("training.jobs.engine_process.LITTLE_BYTES", 1 << 62)
    monkeypatch.setattr(
        "training.jobs.engine_process._launcher",
        lambda *_: [sys.executable, "-c", "raise SystemExit(1)"],
    )
    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=lambda _: "go on")
    assert "is full" in ending.words()
    assert not ending.may_go_on


def test_engines_that_lost_their_worker_are_ended(tmp_path, settings):
    """Also a suspended one, which cannot end by itself; but not one whose worker is alive."""
    settings.RUNS_DIR = tmp_path
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(60)
    started = []
    for parent in (gone.pid, os.getpid()):
        command = [sys.executable, "-c", "input()", "training.engine", str(tmp_path / "run")]
        env = {**os.environ, "WHETSTONE_PARENT_PID": str(parent)}
        started.append(subprocess.Popen(command, env=env, stdin=subprocess.PIPE))
    orphan, child = started
    orphan.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: orphan.pid in end_orphans() or not alive(orphan.pid), "the orphan's end")
        assert orphan.wait(60) == -signal.SIGKILL
        assert alive(child.pid)
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_launcher_starts_stops_and_goes_on_with_two_processes(tmp_path, monkeypatch, settings):
    """``accelerate launch`` with the base sharded: its processes obey a stop and none is left."""
    settings.LAUNCHER = (
        f"{sys.executable} -m accelerate.commands.launch --num_processes 2 --num_machines 1 "
        "--mixed_precision no --dynamo_backend no --main_process_port 0 "
        "--use_fsdp --fsdp_version 2"
    )
    for name, value in {"ACCELERATE_USE_CPU": "true", "WHETSTONE_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    job = DpoJob(
        model=Model(base=str(DEMO_MODEL)),
        lora=Lora(r=4),
        optimisation=Optimisation(batch_size=2, checkpoint_fraction=0.05, epochs=4),
    )
    write_job(job, tmp_path)
    rows = [
        {
            "id": str(number),
            "prompt": [{"role": "user", "content": f"What is {number} + 2?"}],
            "chosen": [{"role": "assistant", "content": f"{number + 2}."}],
            "rejected": [{"role": "assistant", "content": "I do not care."}],
        }
        for number in range(40)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "pairs.jsonl").write_text(lines, encoding="utf-8")

    ending = run_engine(
        kind="dpo",
        run_dir=tmp_path,
        follow=lambda progress: "stop" if progress.step >= 2 else "go on",
    )
    assert ending.result is None, "it was done before it could be stopped"
    assert list(tmp_path.glob("checkpoint-*/manifest.json"))
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(p.info)]

    if not THOROUGH:  # test_process_group.py tests resuming from a checkpoint
        return
    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=lambda _: "go on")
    assert ending.result, ending.words()
    assert (ending.result["processes"], ending.result["steps"]) == (2, 80)
    assert ending.result["sharded"] is True


@pytest.mark.parametrize(
    ("kind", "processes", "launcher", "expected"),
    [
        ("dpo", 1, "", []),
        ("sft", 2, "", ["--multi_gpu", "--num_processes=2"]),
        ("sample", 2, "", []),
        ("dpo", 2, "mpirun -n 4 python", ["mpirun", "4"]),  # the operator's launcher decides
    ],
)
def test_a_round_is_spread_over_as_many_gpus_as_it_asks(
    kind, processes, launcher, expected, settings
):
    settings.LAUNCHER = launcher
    command = engine_process._launcher(kind, processes)
    assert set(expected) <= set(command)
    assert ("--multi_gpu" in command) == ("--multi_gpu" in expected)
