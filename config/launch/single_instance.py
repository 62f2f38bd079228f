"""One running Whetstone a data folder, by a file lock that ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


class AlreadyRunningError(RuntimeError):
    """Somebody holds the lock; the message is the note they left."""


@contextlib.contextmanager
def sole(path: Path, *, note: str) -> Iterator[None]:
    """Hold the lock at ``path`` and leave ``note`` in it for the next process that tries.

    Raises AlreadyRunningError with the holder's note.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(file.read().strip()) from None
        file.truncate(0)
        file.write(note)
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
