"""The faults: how each is injected, how it is ended, and when the part that it hit is back."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import redis

from benchmarks.faults.watching import Watch

Back = Callable[[], bool]
"""Whether the part that was hit is there again."""

# Those that end or hold up the engine: recovered only when another attempt trains, or at an end.
HIT_THE_ENGINE = {"kill worker", "kill engine", "stop worker", "stop engine", "out of memory"}
KINDS = (
    "kill worker",
    "kill engine",
    "kill default worker",
    "kill web",
    "kill beat",
    "kill redis",
    "stop worker",
    "stop engine",
    "flushall",
    "duplicates",
    "disk full",
    "out of memory",
    "not a number",
)


class Site:
    """The running stack, and what can be done to it."""

    def __init__(self, *, stack: int, home: Path, watch: Watch, url: str, full: Path) -> None:
        self.stack = psutil.Process(stack)
        self.home, self.watch, self.url, self.full = home, watch, url, full

    def processes(self, role: str) -> list[psutil.Process]:
        """The processes of one of the stack's parts, the oldest first."""
        marks = {
            "web": ["gunicorn"],
            "beat": ["celery", "beat"],
            "gpu": ["celery", "--queues", "gpu"],
            "default": ["celery", "--queues", "default"],
        }[role]
        running = []
        for process in self.stack.children():
            with contextlib.suppress(psutil.Error):
                if all(mark in process.cmdline() for mark in marks):
                    running.append(process)
        return sorted(running, key=lambda process: process.create_time())

    def redis_process(self) -> psutil.Process | None:
        for process in self.stack.children():
            with contextlib.suppress(psutil.Error):
                if "redis-server" in process.name() or "redis-server" in " ".join(
                    process.cmdline()[:1]
                ):
                    return process
        return None

    def is_served(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def broker(self) -> Any:
        from django.conf import settings

        return redis.Redis(
            unix_socket_path=str(settings.REDIS_SOCKET), socket_timeout=5, retry=None
        )


def inject(kind: str, site: Site, run: str, pk: int, chance: random.Random) -> tuple[Back, Back]:
    """Do it; returns (whether what was hit is back, ``undo``, to be called when the round is
    over)."""
    nothing: Back = lambda: True  # noqa: E731
    engine = site.watch.engine_of(run)
    if kind == "kill web":
        return _kill(site, "web", lambda: site.is_served()), nothing
    if kind == "kill beat":
        return _kill(site, "beat"), nothing
    if kind == "kill default worker":
        return _kill(site, "default"), nothing
    if kind == "kill redis":
        victim = site.redis_process()
        if victim is not None:
            victim.kill()
        return lambda: _answers(site), nothing
    if kind == "flushall":
        with contextlib.closing(site.broker()) as broker:
            broker.flushall()
        return nothing, nothing
    if kind == "duplicates":
        deliver(pk, chance.randint(1, 4))
        return nothing, nothing
    if kind in ("kill worker", "stop worker"):
        worker = engine.parent if engine else chance.choice(site.processes("gpu")).pid
        if kind == "kill worker":
            _send(worker, signal.SIGKILL)
        else:
            _send(worker, signal.SIGSTOP)
            _later(chance.uniform(5, 45), worker, signal.SIGCONT)
        return nothing, nothing
    if kind == "kill engine" and engine is not None:
        _send(engine.pid, signal.SIGKILL)
    elif kind == "stop engine" and engine is not None:
        _send(engine.pid, signal.SIGSTOP)
        _later(chance.uniform(5, 70), engine.pid, signal.SIGCONT)
    elif kind == "out of memory" and engine is not None:
        # No address more than it has now: the next real allocation fails in the allocator.
        with contextlib.suppress(psutil.Error, OSError):
            size = psutil.Process(engine.pid).memory_info().vms
            resource.prlimit(engine.pid, resource.RLIMIT_AS, (size, size))
    elif kind == "disk full":
        return nothing, _fill(site, engine.pid if engine else None)
    return nothing, nothing


def deliver(pk: int, times: int) -> None:
    """Send a round's message that many times more."""
    from config.celery import app

    for _ in range(times):
        with contextlib.suppress(Exception):  # Redis may be down: then there is no message
            app.send_task("training.tasks.run_round", args=[pk], retry=False)


def _kill(site: Site, role: str, back: Back = lambda: True) -> Back:
    before = {process.pid for process in site.processes(role)}
    for pid in before:
        _send(pid, signal.SIGKILL)
    return lambda: any(p.pid not in before for p in site.processes(role)) and back()


def _answers(site: Site) -> bool:
    try:
        with contextlib.closing(site.broker()) as broker:
            return bool(broker.ping())
    except redis.RedisError:
        return False


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _later(seconds: float, pid: int, number: int) -> None:
    began = psutil.Process(pid).create_time()

    def act() -> None:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if psutil.Process(pid).create_time() == began:  # still the same process
                os.kill(pid, number)

    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def _fill(site: Site, engine: int | None) -> Back:
    """Leave no room where runs are: a small file system that is filled, or, where this account
    may mount none, a limit to the size of the engine's files. Returns how to make room again."""
    if not site.full.is_mount():
        if engine is not None:
            with contextlib.suppress(OSError):
                resource.prlimit(engine, resource.RLIMIT_FSIZE, (4096, 4096))
        return lambda: True
    filler = site.full / f"filler-{time.monotonic_ns()}"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)

    def free() -> bool:
        filler.unlink(missing_ok=True)
        return True

    return free
