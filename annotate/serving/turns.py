"""Raters write one after the other where the database has a single writer."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction


@contextmanager
def in_turn() -> Iterator[None]:
    """A transaction. On SQLite, its writers queue at a file and not at the database.

    SQLite lets whoever finds the database busy sleep and try again, up to a tenth of a second
    each time and in no order, so that among many raters the unlucky wait for seconds. The
    kernel wakes who waits for the file at once, in turn. Nothing depends on it but the time.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with (settings.HOME / "writers.turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with transaction.atomic():
            yield
