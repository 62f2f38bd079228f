"""One engine per run directory, and turns on a device: real processes, without torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.training.engine.conftest import ROOT
from tests.waiting import wait_for
from training.engine.errors import EngineError, Stopped
from training.engine.runtime.locks import Device, take_run_dir
from training.engine.runtime.process import StopRequest

HOLD = """
import signal, sys, time
from pathlib import Path
from training.engine.runtime.locks import take_run_dir
from training.engine.runtime.process import StopRequest
if sys.argv[3] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
take_run_dir(Path(sys.argv[1]), int(sys.argv[2]), StopRequest())
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(folder: Path, token: int, how: str = "obedient") -> Iterator[subprocess.Popen[str]]:
    """A process that holds ``folder`` for the attempt ``token``."""
    command = [sys.executable, "-c", HOLD, str(folder), str(token), how]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("token", [None, 1, 2])
def test_whoever_was_not_sent_later_is_refused(tmp_path: Path, token: int | None) -> None:
    with holder(tmp_path, 2) as first:
        with pytest.raises(EngineError, match=str(first.pid)) as refused:
            take_run_dir(tmp_path, token, StopRequest())
        assert refused.value.kind == "in_use"
        assert first.poll() is None
        assert [path.name for path in tmp_path.iterdir()] == ["engine.lock"]


def test_a_later_attempt_ends_the_one_before(tmp_path: Path) -> None:
    with holder(tmp_path, 1) as first:
        os.close(take_run_dir(tmp_path, 2, StopRequest()))
        assert first.wait(60) == -signal.SIGTERM


@pytest.mark.parametrize("how", ["deaf", "stopped"])
def test_one_that_does_not_react_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("training.engine.runtime.locks.TAKEOVER_SECONDS", 0.3)
    with holder(tmp_path, 1, "deaf") as first:
        if how == "stopped":
            first.send_signal(signal.SIGSTOP)
        os.close(take_run_dir(tmp_path, 2, StopRequest()))
        assert first.wait(60) == -signal.SIGKILL


def test_no_other_process_is_taken_for_the_holder(tmp_path: Path) -> None:
    """Process ids are reused: a process that began at another time is left alone."""
    with holder(tmp_path, 1) as first:
        lock = tmp_path / "engine.lock"
        lock.write_text(lock.read_text().replace('"started": "', '"started": "9'))
        stop = StopRequest()
        threading.Timer(0.5, stop.set).start()
        with pytest.raises(Stopped):
            take_run_dir(tmp_path, 2, stop)
        assert first.poll() is None


def tickets(lock: Path) -> list[Path]:
    """The tickets of the processes that wait for a device."""
    return sorted(lock.with_name(f"{lock.name}.queue").glob("[0-9]*"))


def test_turns_are_taken_in_the_order_of_asking(tmp_path: Path) -> None:
    """Short jobs that keep asking do not keep a long job from its turn."""
    lock = tmp_path / "device.lock"
    order: list[str] = []
    mine = Device(lock)
    mine.take(StopRequest(), lambda: None)

    def work(name: str) -> None:
        device = Device(lock)
        device.take(StopRequest(), lambda: None)
        order.append(name)
        device.give_back()

    threads = []
    for name in ("sampling 1", "round", "sampling 2", "sampling 3"):
        threads.append(threading.Thread(target=work, args=(name,)))
        threads[-1].start()
        wait_for(lambda: len(tickets(lock)) == len(threads), "the ticket")
    mine.give_back()
    for thread in threads:
        thread.join(60)
    assert order == ["sampling 1", "round", "sampling 2", "sampling 3"]


def test_a_ticket_of_the_dead_holds_nobody_up(tmp_path: Path) -> None:
    queue = tmp_path / "device.lock.queue"
    queue.mkdir()
    (queue / "000000000001").touch()
    Device(tmp_path / "device.lock").take(StopRequest(), lambda: None)
    assert tickets(tmp_path / "device.lock") == []


def test_others_are_let_in_only_where_they_wait(tmp_path: Path) -> None:
    mine, other = Device(tmp_path / "lock"), Device(tmp_path / "lock")
    mine.take(StopRequest(), lambda: None)
    waited: list[str] = []
    mine.let_others(StopRequest(), lambda: waited.append("nobody"))
    assert waited == []

    def work() -> None:
        other.take(StopRequest(), lambda: None)
        waited.append("other had it")
        other.give_back()

    thread = threading.Thread(target=work)
    thread.start()
    wait_for(lambda: tickets(tmp_path / "lock"), "the ticket")
    mine.let_others(StopRequest(), lambda: None)
    assert waited == ["other had it"]
    thread.join(60)


def test_who_waits_for_the_device_can_be_stopped(tmp_path: Path) -> None:
    Device(tmp_path / "lock").take(StopRequest(), lambda: None)
    stop = StopRequest()
    with pytest.raises(Stopped):
        Device(tmp_path / "lock").take(stop, stop.set)
    assert tickets(tmp_path / "lock") == []


@pytest.mark.parametrize(("how", "number"), [("SIG_DFL", 15), ("SIG_IGN", 9)])
def test_without_its_lease_a_process_ends(tmp_path: Path, how: str, number: int) -> None:
    """While the lease is renewed, it goes on; if not, it is asked to end, then killed."""
    script = (
        "import signal, sys, time; from pathlib import Path;"
        "from training.engine.runtime import process;"
        f"signal.signal(signal.SIGTERM, signal.{how}); process.LAST_SECONDS = 0.2;"
        "process.obey_lease(Path(sys.argv[1]), 2.0); time.sleep(600)"
    )
    lease = tmp_path / "lease"
    lease.touch()
    with subprocess.Popen([sys.executable, "-c", script, str(lease)], cwd=ROOT) as process:
        for _ in range(10):
            time.sleep(0.3)
            lease.touch()
        assert process.poll() is None
        assert process.wait(120) == -number
