"""Locks between engines: one engine a run directory, one turn at a time on a device.

All are ``flock``: they end with the process that holds them, however it ends. Standard library
alone, since they are taken before torch is loaded.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from training.engine.errors import EngineError
from training.engine.runtime.process import StopRequest

POLL_SECONDS = 0.2
TAKEOVER_SECONDS = 15.0  # between asking a replaced engine to end and ending it
log = logging.getLogger("engine")


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# --- one engine a run directory ---


def take_run_dir(folder: Path, token: int | None, stop: StopRequest) -> int:
    """Become the only engine that works in ``folder``; returns the lock's file descriptor.

    ``token`` is the attempt that this engine was started for. An engine of an earlier attempt has
    been replaced: it is asked to end, then ended, if it is on this machine, and waited for.
    Without a token, or against the same or a later one, EngineError: the folder is in use.
    Nothing in the folder is touched before it is ours, but for the lock itself.
    """
    handle = os.open(folder / "engine.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        asked_at: float | None = None
        while not _try(handle):
            holder = _read(handle)
            theirs = holder.get("token")
            if token is None or (theirs is not None and theirs >= token):
                raise EngineError(
                    "in_use",
                    f"Another engine works in {folder} (process {holder.get('pid', 'unknown')} on "
                    f"{holder.get('host', 'this machine')})",
                    "Wait for it to end, or end it; nothing was changed.",
                )
            if asked_at is None:
                asked_at = time.monotonic()
                _signal(holder, signal.SIGTERM, signal.SIGCONT)
            elif time.monotonic() - asked_at > TAKEOVER_SECONDS:
                _signal(holder, signal.SIGKILL)
            stop.check()
            time.sleep(POLL_SECONDS)
        note = {"pid": os.getpid(), "started": _started(os.getpid()), "token": token, **_machine()}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(note).encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _read(handle: int) -> dict[str, Any]:
    """What the holder left in the lock; empty where it has not written it yet."""
    try:
        holder = json.loads(os.pread(handle, 4096, 0))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _signal(holder: dict[str, Any], *numbers: int) -> None:
    """Send the signals if the holder is on this machine and still the process that it was."""
    pid = holder.get("pid")
    is_this_machine = {name: holder.get(name) for name in _machine()} == _machine()
    if not isinstance(pid, int) or not is_this_machine or _started(pid) != holder.get("started"):
        return
    for number in numbers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _machine() -> dict[str, str]:
    """What tells this machine, and this start of it, from others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(
            Path("/proc/self/ns/pid").readlink()
        )  # containers number their processes themselves
    except OSError:
        boot = space = ""
    return {"host": socket.gethostname(), "boot": boot, "space": space}


def _started(pid: int) -> str | None:
    """When a process began, in the kernel's ticks: a process id is given out again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


# --- turns on a device ---


def wait_for_word(path: Path, launch: str, stop: StopRequest) -> None:
    """Until ``path`` says that the first process of ``launch`` has the device."""
    while True:
        try:
            if json.loads(path.read_text(encoding="utf-8")).get("launch") == launch:
                return
        except (OSError, ValueError):
            pass  # not there yet, or of another launch and just being replaced
        stop.check()
        time.sleep(POLL_SECONDS)


class Device:
    """Turns on a device, first come, first served.

    The lock on ``path`` is the device. Who waits for it holds a ticket, a locked file in the
    folder ``PATH.queue``, and only the oldest ticket tries the lock: work that comes again and
    again, such as short sampling jobs, goes to the end of the queue each time. A ticket whose
    owner died is not locked any more, and is removed by the next process that looks.
    """

    def __init__(self, path: Path) -> None:
        self._queue = path.with_name(f"{path.name}.queue")
        self._path = path
        self._handle: int | None = None

    def take(self, stop: StopRequest, waiting: Callable[[], None]) -> None:
        """Wait for our turn and keep it until ``give_back`` or the end of this process.

        ``waiting`` is called while somebody else has it; Stopped where asked to stop meanwhile.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            with self._ticket() as ticket:
                while not (self._is_first(ticket) and _try(handle)):
                    waiting()
                    stop.check()
                    time.sleep(POLL_SECONDS)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle
        log.info("device lock held: %s", self._path)

    def give_back(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def let_others(self, stop: StopRequest, waiting: Callable[[], None]) -> None:
        """Where others wait, let each of them have a turn first."""
        if self._handle is not None and self._waiting():
            self.give_back()
            self.take(stop, waiting)

    @contextlib.contextmanager
    def _ticket(self) -> Iterator[Path]:
        self._queue.mkdir(mode=0o700, exist_ok=True)
        handle = -1
        while handle < 0:
            with self._changing():
                last = max((int(path.name) for path in self._tickets()), default=0)
                ticket = self._queue / str(last + 1).zfill(12)
                handle = os.open(ticket, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield ticket
        finally:
            ticket.unlink(missing_ok=True)
            os.close(handle)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """While tickets are numbered or cleared away: a ticket that is not locked yet is no
        dead one's."""
        handle = os.open(self._queue / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _tickets(self) -> list[Path]:
        return sorted(path for path in self._queue.glob("[0-9]*") if path.name.isdigit())

    def _is_first(self, ticket: Path) -> bool:
        """Whether no live ticket is older."""
        for older in self._tickets():
            if older == ticket:
                return True
            if self._is_live(older):
                return False
        return True

    def _waiting(self) -> bool:
        return self._queue.is_dir() and any(self._is_live(path) for path in self._tickets())

    def _is_live(self, ticket: Path) -> bool:
        """Whether its owner lives; a dead one's ticket is removed."""
        with self._changing():
            try:
                handle = os.open(ticket, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                if not _try(handle):
                    return True
                ticket.unlink(missing_ok=True)
                return False
            finally:
                os.close(handle)
