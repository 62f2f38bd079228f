"""What every test may use: a fixed cast of people, and the real services that the loop runs on.

The settings come from tests/settings.py, with a throw-away data folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.utils import translation

from tests.waiting import wait_for

if TYPE_CHECKING:
    from django.test import Client

    from annotate.models import Project, User

ROOT = Path(__file__).resolve().parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
NO_SHARED_DATA = "../shared/data is absent"
NO_GPU = "no GPU"
NO_VLLM = "no vLLM"

# With WHETSTONE_CI set, these are the only reasons to skip a test.
ALLOWED_SKIPS = (NO_SHARED_DATA, NO_GPU, NO_VLLM)


@pytest.fixture(autouse=True)
def the_language_ends_with_the_test() -> Iterator[None]:
    """A request leaves its language active, and the next test may not set one."""
    yield
    translation.deactivate()


# --- people ---


@dataclass(frozen=True)
class Cast:
    """One project and its people: a manager, two raters, and a stranger who must be refused."""

    project: Project
    manager: User
    rater: User
    colleague: User
    stranger: User


@pytest.fixture
def cast(db: None) -> Cast:
    from annotate.models import Membership, Project, User

    project = Project.objects.create(slug="sharpen", name="Sharpen")
    people = {
        name: User.objects.create_user(name, password=name)
        for name in ("manager", "rater", "colleague", "stranger")
    }
    for name, role in [
        ("manager", Membership.Role.MANAGER),
        ("rater", Membership.Role.RATER),
        ("colleague", Membership.Role.RATER),
    ]:
        Membership.objects.create(project=project, user=people[name], role=role)
    return Cast(project=project, **people)


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """``client_of(user)`` is a test client that ``user`` is logged in with."""
    from django.test import Client

    def client_of(user: User) -> Client:
        client = Client()
        client.force_login(user, backend=settings.AUTHENTICATION_BACKENDS[0])
        return client

    return client_of


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(NO_SHARED_DATA)
    return SHARED_DATA


# --- how much ---

THOROUGH = bool(os.environ.get("WHETSTONE_THOROUGH"))
"""Whether to run the longer versions of some tests: ``make test-thorough``."""

# --- processes ---


def outer_environment() -> dict[str, str]:
    """The environment of the test run, without the variables that are set only for tests."""
    mine = {"DATABASE_URL", "DJANGO_ALLOW_ASYNC_UNSAFE", "WHETSTONE_CI"}
    outer = {name: value for name, value in os.environ.items() if name not in mine}
    return {**outer, "DJANGO_SETTINGS_MODULE": "config.settings"}


def child_environment(**changes: str) -> dict[str, str]:
    """The environment for a child process with the product's settings and the test's data."""
    from django.db import connection

    db_settings: dict[str, Any] = connection.settings_dict
    if connection.vendor == "sqlite":
        database = f"sqlite:///{db_settings['NAME']}"
    else:
        database = (
            f"postgres://postgres@/{db_settings['NAME']}?host={db_settings['OPTIONS']['host']}"
        )
    return {
        **outer_environment(),
        "WHETSTONE_HOME": str(settings.HOME),
        "DATABASE_URL": database,
        **changes,
    }


@contextlib.contextmanager
def running(command: list[str], *, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen]:
    """Run ``command`` in its own process group, all of which is ended afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """A real private Redis where the settings look for it; its URL for redis-py."""
    import redis

    from config.launch import private_redis

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False

    client = redis.Redis(unix_socket_path=str(settings.REDIS_SOCKET), retry=None)
    log = settings.HOME / "redis.log"
    command = private_redis.command(settings.HOME)
    with running(command, log=log, env=dict(os.environ)) as process:
        wait_for(lambda: answers() or process.poll() is not None, "Redis")
        assert answers(), log.read_text()
        yield f"unix://{settings.REDIS_SOCKET}"
        client.close()


@pytest.fixture
def celery_workers(redis_server: str, transactional_db: None) -> Iterator[None]:
    """Real workers for both queues, on the test's database and on an empty Redis.

    Their output is in ``settings.HOME / "workers.log"``, and is shown if they do not start.
    """
    import redis

    from config.celery import app
    from config.launch import processes

    with contextlib.closing(redis.Redis.from_url(redis_server)) as client:
        client.flushall()
    log = settings.HOME / "workers.log"
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(running(command, log=log, env=child_environment()))
            for command in (processes.default_worker_command(), processes.gpu_worker_command())
        ]

        def answering() -> bool:
            gone = [process for process in started if process.poll() is not None]
            assert not gone, log.read_text()
            return len(app.control.ping(timeout=1)) == len(started)

        wait_for(answering, "both workers")
        yield


# --- which tests are which ---


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that depend only on the database, so that they also run on PostgreSQL."""
    elsewhere = {"browser", "stack", "peer"}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        uses_database = item.get_closest_marker("django_db") or (
            {"db", "transactional_db"} & set(fixtures)
        )
        if uses_database and not elsewhere & {mark.name for mark in item.iter_markers()}:
            item.add_marker("database")


# --- a skip needs a good reason ---


def _bad_skips(config: pytest.Config) -> list[str]:
    """The skips of this test session that WHETSTONE_CI does not allow, as "test: reason"."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("WHETSTONE_CI") or reporter is None:
        return []
    skips = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            skips.append(f"{report.nodeid}: {reason}")
    return skips


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    if session.exitstatus == pytest.ExitCode.OK and _bad_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    return (yield)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if bad := _bad_skips(config):
        terminalreporter.section("skipped without need: with WHETSTONE_CI set, this fails")
        for line in bad:
            terminalreporter.line(line, red=True)
