"""This process among others: its parent's death, the request to stop, the device's lock.

Standard library alone, so that a process whose parent is gone ends before it loads torch.
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from .errors import Stopped
from .rundir import RunDir

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 30.0  # after the parent's death: time to write a checkpoint
log = logging.getLogger("engine")


class StopRequest:
    """Set by SIGTERM or SIGINT, asked between pieces of work. A second signal ends at once."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._event.set()
        signal.signal(number, signal.SIG_DFL)

    def set(self) -> None:
        self._event.set()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopped if asked to stop: for work that has nothing to keep."""
        if self:
            raise Stopped


def die_with_parent(parent: int) -> None:
    """End when the process ``parent`` ends: a kind signal first, a certain one after a grace.

    The kernel's signal covers the direct child; a watching thread covers a grandchild (under
    ``accelerate launch``) and a process that does not react. Exits now if ``parent`` is gone.
    """
    if not _alive(parent):
        sys.exit(f"parent process {parent} is already gone")
    if sys.platform == "linux" and os.getppid() == parent:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between the question and the request
            sys.exit(f"parent process {parent} is already gone")
    threading.Thread(target=_watch, args=(parent,), name="parent watch", daemon=True).start()


def _watch(parent: int) -> None:
    while _alive(parent):
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _alive(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie that waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        return os.getppid() == pid  # no /proc here: all that can be known
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def hold_device(lock: Path, run: RunDir, stop: StopRequest) -> None:
    """Wait for the exclusive lock on the file ``lock`` and hold it until this process ends."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)  # kept open: the lock is its
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            run.phase("waiting for the device")
            stop.check()
            time.sleep(0.2)
        else:
            log.info("device lock held: %s", lock)
            return
