"""`make up` as a user sees it: one address, one login link, one instance, kept alive."""

from __future__ import annotations

import stat
import urllib.request
from http.cookiejar import CookieJar

import psutil
import pytest

from tests.config.conftest import Up
from tests.conftest import wait_for

pytestmark = pytest.mark.stack


def visit(url: str) -> tuple[str, bool]:
    """The URL that ``url`` leads to, and whether it is logged in there."""
    jar = CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with opener.open(f"{url}&next=/admin/", timeout=20) as response:
        return response.url, any(cookie.name == "sessionid" for cookie in jar)


def test_it_says_where_it_is_when_it_answers_there(up: Up):
    assert up.installation.url in up.output
    assert up.installation.answers()


def test_the_login_link_logs_in_once(up: Up):
    link = up.installation.manage("login_link", "admin").stdout.strip()
    assert visit(link) == (f"{up.installation.url}/admin/", True)
    assert not visit(link)[1]


def test_started_twice_it_says_so(up: Up):
    second = up.installation.manage("up")
    assert second.returncode == 1
    assert "already running" in second.stderr
    assert up.installation.url in second.stderr
    assert up.installation.answers()


def test_only_the_web_server_listens_on_tcp(up: Up):
    listening = {
        (name.laddr.port, "gunicorn" in " ".join(process.cmdline()))
        for process in up.family()
        for name in process.net_connections(kind="tcp")
        if name.status == psutil.CONN_LISTEN
    }
    assert listening == {(up.installation.port, True)}


def test_the_private_redis_lets_nobody_else_in(up: Up):
    socket = up.installation.home / "redis" / "redis.sock"
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("part", ["gunicorn", "redis-server", "--queues gpu"])
def test_what_dies_is_started_again(up: Up, part: str):
    before = up.child(part)
    before.kill()
    wait_for(lambda: not before.is_running(), f"{part} to die")
    wait_for(lambda: [c for c in up.family() if part in " ".join(c.cmdline())], f"another {part}")
    wait_for(up.installation.answers, "the web server")


def test_a_doctor_finds_both_workers(up: Up):
    def both() -> bool:
        report = up.installation.manage("doctor").stdout
        return "queue 'default' is listened to" in report and "queue 'gpu' is listened to" in report

    wait_for(both, "both workers to answer")


def test_everything_is_logged_in_the_data_folder(up: Up):
    logs = {path.name for path in (up.installation.home / "logs").glob("*.log")}
    assert {"web.log", "worker.log", "gpu-worker.log", "beat.log", "redis.log"} <= logs
