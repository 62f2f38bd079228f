"""A complete Whetstone installation, started as a user would start it."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT, outer_environment, wait_for

READY = "Whetstone is ready"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Installation:
    """A data folder, a port, and the commands run on them."""

    home: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        return {
            **outer_environment(),
            "WHETSTONE_HOME": str(self.home),
            "PORT": str(self.port),
            "WEB_WORKERS": "1",
            "SEED_DEMO": "0",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def manage(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health/", timeout=2) as response:
                return bool(response.status == 200)
        except (OSError, urllib.error.URLError):
            return False


@dataclass(frozen=True)
class Up:
    """A running `manage.py up` and what it has printed."""

    installation: Installation
    process: subprocess.Popen[bytes]
    terminal: Path

    @property
    def output(self) -> str:
        return self.terminal.read_text()

    @property
    def login_link(self) -> str:
        match = re.search(r"http\S+sesame=\S+", self.output)
        assert match, self.output
        return match.group()

    def family(self) -> list[psutil.Process]:
        """Every process below `up`."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, part: str) -> psutil.Process:
        """The direct child with ``part`` in its command line."""
        children = psutil.Process(self.process.pid).children()
        (process,) = [child for child in children if part in " ".join(child.cmdline())]
        return process

    def wait_until_all_run(self) -> None:
        """Wait until each process has started its own program."""
        wait_for(lambda: len(psutil.Process(self.process.pid).children()) == 5, "five processes")

    def wait_until_printed(self, text: str) -> None:
        wait_for(
            lambda: text in self.output or self.process.poll() is not None,
            f"{text!r} to be printed",
        )
        assert text in self.output, self.output


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a dead process that is not yet reaped does not count."""
    running = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    return running


@contextlib.contextmanager
def running_up(installation: Installation) -> Iterator[Up]:
    """`manage.py up`, from when it reports to be ready; all its processes are gone afterwards."""
    terminal = installation.home / "terminal.txt"
    with terminal.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up"],
            cwd=ROOT,
            env=installation.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    up = Up(installation, process, terminal)
    try:
        up.wait_until_printed(READY)
        up.wait_until_all_run()
        yield up
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()


@pytest.fixture
def installation() -> Iterator[Installation]:
    """An empty data folder with a path that is short enough for sockets."""
    home = Path(tempfile.mkdtemp(prefix="whetstone-up-", dir="/tmp"))
    yield Installation(home=home, port=free_port())
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """One running Whetstone for all tests of a module; leave it as it was."""
    home = Path(tempfile.mkdtemp(prefix="whetstone-up-", dir="/tmp"))
    with running_up(Installation(home=home, port=free_port())) as up:
        yield up
    shutil.rmtree(home, ignore_errors=True)
