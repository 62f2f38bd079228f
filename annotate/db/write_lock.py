"""Raters write one after the other where the database has a single writer."""

from __future__ import annotations

import fcntl
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from django.conf import settings
from django.db import connection, transaction
from django.http import HttpResponse

Arguments = ParamSpec("Arguments")

_thread_at_work = threading.Lock()


def one_thread(view: Callable[Arguments, HttpResponse]) -> Callable[Arguments, HttpResponse]:
    """A short view that, on SQLite, one thread of a process runs at a time.

    After each statement the writer needs Python's interpreter lock back, and threads that are
    computing keep it from them for milliseconds: all raters would wait for that. On PostgreSQL,
    whose writers do not wait for each other, threads may go on side by side.
    """

    @functools.wraps(view)
    def alone(*args: Arguments.args, **kwargs: Arguments.kwargs) -> HttpResponse:
        if connection.vendor != "sqlite":
            return view(*args, **kwargs)
        with _thread_at_work:
            return view(*args, **kwargs)

    return alone


@contextmanager
def write_lock() -> Iterator[None]:
    """A transaction. On SQLite, its writers queue at a file and not at the database.

    SQLite lets a writer that finds the database busy sleep and try again, up to a tenth of a second
    each time and in no order, so that among many raters the unlucky wait for seconds. The
    kernel wakes those who wait for the file at once, in turn. Nothing depends on it but the time.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        with transaction.atomic():
            yield
        return
    with (settings.HOME / "writers.turn").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with transaction.atomic():
            yield
