"""The processes that Whetstone consists of: how each is started."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from config.launch import private_redis


@dataclass(frozen=True, kw_only=True)
class Process:
    """One program that is kept running."""

    name: str
    title: str
    command: list[str]
    priority: int  # lower ones start first and stop last
    seconds_to_stop: int  # after SIGTERM; then SIGKILL


def web_command() -> list[str]:
    host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
    memory = Path("/dev/shm")  # noqa: S108 - gunicorn makes an unlinked file there
    return [
        *_program("gunicorn"),
        *("config.wsgi:application", "--bind", f"{host}:{settings.PORT}"),
        *("--worker-class", "gthread", "--workers", str(settings.WEB_WORKERS)),
        *("--threads", str(settings.WEB_THREADS)),
        *("--timeout", "120", "--graceful-timeout", "10", "--keep-alive", "5"),
        *("--no-control-socket", "--access-logfile", "-"),
        # The heartbeat of gunicorn's workers is a file: on a busy disk it could be late.
        *(("--worker-tmp-dir", str(memory)) if os.access(memory, os.W_OK) else ()),
    ]


def default_worker_command() -> list[str]:
    """Short tasks that wait more than they compute, so threads and not processes."""
    return [
        *_celery("worker", "--queues", settings.CELERY_TASK_DEFAULT_QUEUE),
        *("--pool", "threads", "--concurrency", str(settings.TASK_THREADS)),
        *("--hostname", "default@%h", "--without-mingle", "--without-gossip"),
    ]


def gpu_worker_command() -> list[str]:
    """One engine at a time; a second message stays in Redis until the first is done."""
    return [
        *_celery("worker", "--queues", "gpu"),
        *("--pool", "solo", "--concurrency", "1", "--prefetch-multiplier", "1"),
        "--disable-prefetch",
        *("--hostname", "gpu@%h", "--without-mingle", "--without-gossip"),
    ]


def beat_command() -> list[str]:
    return _celery("beat", "--pidfile", "")


def all_processes() -> list[Process]:
    """What `up` runs, in the order of starting."""
    redis = Process(
        name="redis",
        title="private Redis",
        command=[] if settings.REDIS_URL else private_redis.command(settings.HOME),
        priority=1,
        seconds_to_stop=20,
    )
    others = [
        Process(
            name="web",
            title="web server",
            command=web_command(),
            priority=2,
            seconds_to_stop=15,
        ),
        Process(
            name="worker",
            title="worker",
            command=default_worker_command(),
            priority=3,
            seconds_to_stop=20,
        ),
        Process(
            name="gpu-worker",
            title="gpu worker",
            command=gpu_worker_command(),
            priority=3,
            seconds_to_stop=60,
        ),
        Process(
            name="beat",
            title="clock",
            command=beat_command(),
            priority=4,
            seconds_to_stop=10,
        ),
    ]
    return [process for process in (redis, *others) if process.command]


def _program(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _celery(*arguments: str) -> list[str]:
    return [*_program("celery"), "--app", "config", *arguments, "--loglevel", "INFO"]
