"""This process among others: its parent's death, the request to stop, the supervisor's lease.

Standard library alone, so that a process whose parent is gone ends before it loads torch.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from training.engine.errors import Stopped

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 15.0  # after the parent's death: time to write a checkpoint
LAST_SECONDS = 8.0  # the same where the lease has run out: a successor may be on its way


class StopRequest:
    """Set by SIGTERM or SIGINT, asked between pieces of work. A second signal ends at once.

    ``leave``: while it is set there is nothing to keep, and a signal calls it (in a thread of its
    own) instead of waiting to be asked: loading libraries takes longer than a person waits.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self.leave: Callable[[], None] | None = None

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._event.set()
        signal.signal(number, signal.SIG_DFL)
        if self.leave is not None:
            threading.Thread(target=self.leave, name="leaving", daemon=True).start()

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
    _end_within(GRACE_SECONDS)


def obey_lease(lease: Path, seconds: float) -> None:
    """End when the file ``lease`` has not been touched for ``seconds``.

    Its starter touches it as long as this process may go on. A supervisor that was stopped or
    hangs may have been replaced, perhaps on another machine: its engine must be gone by then.
    """
    watch = threading.Thread(
        target=_watch_lease, args=(lease, seconds), name="lease watch", daemon=True
    )
    watch.start()


def _watch_lease(lease: Path, seconds: float) -> None:
    seen, since = 0, time.monotonic()
    while True:
        try:
            touched = lease.stat().st_mtime_ns
        except OSError:
            touched = 0
        now = time.monotonic()  # by our own clock: a file server's may differ
        if touched != seen:
            seen, since = touched, now
        elif now - since > seconds:
            _end_within(LAST_SECONDS)
        time.sleep(0.5)


def _end_within(seconds: float) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(seconds)
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
