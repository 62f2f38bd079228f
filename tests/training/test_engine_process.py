"""The engine as a child: real processes, with a job that the engine refuses or that is stopped."""

import json
import sys

import psutil
import pytest

from tests.conftest import wait_for
from training.engine_process import Ending, Tail, read_progress, run_engine


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
    monkeypatch.setattr("training.engine_process.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(
        "training.engine_process._launcher",
        lambda _: [sys.executable, "-c", "import time; time.sleep(600)"],
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
    monkeypatch.setattr("training.engine_process.PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(
        "training.engine_process._launcher", lambda _: [sys.executable, "-c", stubborn]
    )

    def follow(_):
        return "stop" if (tmp_path / "pid").exists() else "go on"

    ending = run_engine(kind="dpo", run_dir=tmp_path, follow=follow)
    assert ending.status == -9
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not alive(pid), "the group's end", seconds=10)


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending(-9, None, None), "SIGKILL"),
        (Ending(-9, None, None), "memory"),
        (Ending(3, None, None), "status 3"),
        (Ending(1, None, {"message": "No such model.", "advice": "Name another."}), "No such"),
        (Ending(1, None, {"message": "No such model.", "advice": "Name another."}), "Name another"),
    ],
)
def test_an_ending_has_words(ending, words):
    assert words in ending.words()
