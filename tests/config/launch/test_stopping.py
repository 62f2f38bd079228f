"""However `up` ends, none of its processes is left."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.config.conftest import Installation, alive, running_up
from tests.conftest import THOROUGH, wait_for

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP] if THOROUGH else [signal.SIGINT])
def test_asked_to_stop_it_leaves_nothing(installation: Installation, how: signal.Signals):
    with running_up(installation) as up:
        family = up.family()
        up.process.send_signal(how)
        assert up.process.wait(240) == 0
        assert not alive(family)
        assert "Nothing is left running" in up.output
        assert not (installation.home / "redis" / "redis.sock").exists()


def test_killed_it_takes_its_children_along_and_can_be_started_again(installation: Installation):
    with running_up(installation) as up:
        family = up.family()
        up.process.kill()
        up.process.wait()
        wait_for(lambda: not alive(family), "the children to end")
    with running_up(installation):
        assert installation.answers()


def test_a_taken_port_is_named_before_anything_is_started(installation: Installation):
    with socket.create_server(("127.0.0.1", installation.port)):
        result = installation.manage("up")
    assert result.returncode == 1
    assert f"Port {installation.port} on 127.0.0.1 is used by another program" in result.stderr
    assert not (installation.home / "db.sqlite3").exists()
