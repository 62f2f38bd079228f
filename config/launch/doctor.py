"""What can be wrong with an installation, looked at one thing at a time."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from config.celery import app

SAFE_SQLITE = (3, 51, 3)
FULL_DISK_BYTES = 1 << 30
TIGHT_DISK_BYTES = 10 << 30
# Asked in a process of its own: no process of the web side ever imports torch.
WHICH_DEVICE = """
import torch
if torch.cuda.is_available():
    properties = torch.cuda.get_device_properties(0)
    print(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
else:
    print(f"CPU with {torch.get_num_threads()} threads; no GPU is seen")
"""


class Severity(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to do about it unless it is good."""

    level: Severity
    about: str
    message: str


def look_around() -> Iterator[Finding]:
    """Every finding, as it is made. No check raises: what goes wrong is a finding."""
    checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("data folder", data_folder),
        ("database", database),
        ("Redis", broker),
        ("workers", workers),
        ("endpoints", endpoints),
        ("Chromium", chromium),
        ("training device", training_device),
        ("trackers", trackers),
    ]
    for about, check in checks:
        try:
            yield from check()
        except Exception as error:  # a doctor reports, whatever it meets
            yield Finding(Severity.ERROR, about, f"{type(error).__name__}: {error}")


def data_folder() -> Iterator[Finding]:
    """Room on the disk, and who may look into the folder."""
    about = "data folder"
    free = shutil.disk_usage(settings.HOME).free
    room = f"{settings.HOME}: {free / (1 << 30):.1f} GiB free"
    if free < FULL_DISK_BYTES:
        yield Finding(Severity.ERROR, about, f"{room}; rounds will fail. Make room.")
    elif free < TIGHT_DISK_BYTES:
        yield Finding(Severity.WARNING, about, f"{room}; a large model may not fit.")
    else:
        yield Finding(Severity.GOOD, about, room)
    if settings.HOME.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            Severity.WARNING,
            about,
            f"other users of this machine may enter it: chmod 700 {settings.HOME}",
        )


def database() -> Iterator[Finding]:
    """Whether it answers and its tables are those of this version."""
    about = "database"
    try:
        connection.ensure_connection()
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        yield Finding(
            Severity.ERROR, about, f"does not answer: {_words(error)}. Look at DATABASE_URL."
        )
        return
    if missing:
        yield Finding(
            Severity.ERROR, about, f"{len(missing)} migrations are missing: manage.py migrate"
        )
    else:
        yield Finding(Severity.GOOD, about, f"{connection.display_name} answers, tables up to date")
    if connection.vendor == "sqlite" and sqlite3.sqlite_version_info < SAFE_SQLITE:
        yield Finding(
            Severity.WARNING,
            about,
            f"SQLite {sqlite3.sqlite_version} has a rare fault that can damage a database with a "
            "write-ahead log under load; {}.{}.{} mends it. Back up, or use PostgreSQL.".format(
                *SAFE_SQLITE
            ),
        )


def broker() -> Iterator[Finding]:
    """Whether Redis answers, and whether it keeps what it is given."""
    about = "Redis"
    url = settings.REDIS_URL or f"unix://{settings.REDIS_SOCKET}"
    client = redis.Redis.from_url(
        url, socket_timeout=3, socket_connect_timeout=3, retry=None, decode_responses=True
    )
    try:
        info: dict[str, Any] = client.info()
    except redis.RedisError as error:
        hint = "Look at REDIS_URL." if settings.REDIS_URL else "The private one runs with `up`."
        yield Finding(Severity.ERROR, about, f"does not answer: {_words(error)}. {hint}")
        return
    finally:
        client.close()
    where = "at REDIS_URL" if settings.REDIS_URL else "private"
    yield Finding(Severity.GOOD, about, f"{info['redis_version']} answers, {where}")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield Finding(
            Severity.WARNING,
            about,
            f"maxmemory-policy is {policy}: queued messages may be thrown away. Set noeviction.",
        )
    if not info.get("aof_enabled"):
        yield Finding(
            Severity.WARNING,
            about,
            "appendonly is off: its restart empties the queues, which are then filled again "
            "from the database within half a minute. Set appendonly yes.",
        )


def workers() -> Iterator[Finding]:
    """Whether somebody listens to each queue."""
    about = "workers"
    try:
        answers = app.control.inspect(timeout=2).active_queues() or {}
    except Exception as error:  # kombu lets through whatever its transport raises
        yield Finding(Severity.ERROR, about, f"cannot be asked: {_words(error)}.")
        return
    listening = {queue["name"] for queues in answers.values() for queue in queues}
    for queue in (settings.CELERY_TASK_DEFAULT_QUEUE, "gpu"):
        if queue in listening:
            yield Finding(Severity.GOOD, about, f"queue {queue!r} is listened to")
        elif queue == "gpu":
            yield Finding(
                Severity.WARNING,
                about,
                "nobody answers for queue 'gpu': no worker, or one that is at work on a round",
            )
        else:
            yield Finding(Severity.ERROR, about, f"nobody answers for queue {queue!r}")


def endpoints() -> Iterator[Finding]:
    """Whether the operator's list reads, and names the hosts that managers have entered."""
    from training.endpoints.guard import (  # its client loads slowly
        AddressRefused,
        HostRules,
        origin_of,
    )
    from training.models import Endpoint

    about = "endpoints"
    try:
        rules = HostRules.of(settings.ENDPOINT_HOSTS)
    except ValueError as error:
        yield Finding(Severity.ERROR, about, _words(error))
        return
    urls = sorted(set(Endpoint.objects.values_list("url", flat=True)))
    for url in urls:
        try:
            rules.check_origin(origin_of(url))
        except AddressRefused as error:
            yield Finding(Severity.WARNING, about, f"{url} is not asked: {_words(error)}")
        else:
            yield Finding(Severity.GOOD, about, f"{url} may be asked")


def _words(error: Exception) -> str:
    """What an error says, without the full stop that some end with."""
    return str(error).strip().rstrip(".")


def chromium() -> Iterator[Finding]:
    """A browser, which only the tests need."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    browser = next((path for name in names if name and (path := shutil.which(name))), None)
    if browser:
        yield Finding(Severity.GOOD, "Chromium", browser)
    else:
        yield Finding(Severity.WARNING, "Chromium", "none found; only the browser tests want one")


def training_device() -> Iterator[Finding]:
    """What the engine would train on."""
    about = "training device"
    result = subprocess.run(
        [sys.executable, "-c", WHICH_DEVICE], capture_output=True, text=True, timeout=120
    )
    if result.returncode == 0:
        yield Finding(Severity.GOOD, about, result.stdout.strip())
    else:
        reason = result.stderr.strip().rpartition("\n")[2]
        yield Finding(Severity.ERROR, about, f"torch does not start: {reason}")


def trackers() -> Iterator[Finding]:
    """Which trackers get a round's metrics, where WHETSTONE_TRACKERS names any."""
    about = "trackers"
    packages = {"wandb": "wandb", "mlflow": "mlflow-skinny"}
    for name in settings.TRACKERS:
        if name not in packages:
            known = ", ".join(packages)
            message = f"WHETSTONE_TRACKERS names {name}, which is none of {known}."
            yield Finding(Severity.ERROR, about, message)
        elif importlib.util.find_spec(name) is None:
            message = (
                f"WHETSTONE_TRACKERS names {name}, which is not installed: rounds are not "
                f"reported there. Run {sys.executable} -m pip install {packages[name]}."
            )
            yield Finding(Severity.ERROR, about, message)
        else:
            yield Finding(Severity.GOOD, about, f"rounds are reported to {name}")
