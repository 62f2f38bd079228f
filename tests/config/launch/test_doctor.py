"""The doctor finds what is wrong, and says what to do."""

from __future__ import annotations

import sqlite3

import pytest
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder

from config.launch import doctor
from config.launch.doctor import Severity
from tests.factories import make_policy, make_project
from training.models import Endpoint


def test_up_to_date_tables_are_good(db, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", doctor.SAFE_SQLITE)
    assert {finding.level for finding in doctor.database()} == {Severity.GOOD}


def test_a_missing_migration_is_an_error(db):
    MigrationRecorder.Migration.objects.filter(app="sessions").delete()
    finding = next(doctor.database())
    assert finding.level is Severity.ERROR
    assert "manage.py migrate" in finding.message


def test_an_sqlite_with_the_fault_is_a_warning(db, monkeypatch):
    from django.db import connection

    if connection.vendor != "sqlite":
        assert [finding.level for finding in doctor.database()] == [Severity.GOOD]
        return
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert Severity.WARNING in {finding.level for finding in doctor.database()}


def test_a_full_disk_is_an_error(monkeypatch):
    monkeypatch.setattr(doctor, "FULL_DISK_BYTES", 1 << 62)
    assert next(doctor.data_folder()).level is Severity.ERROR


def test_an_open_data_folder_is_a_warning(settings, tmp_path):
    settings.HOME = tmp_path
    tmp_path.chmod(0o755)
    assert "chmod 700" in list(doctor.data_folder())[-1].message


def test_a_redis_that_is_away_is_an_error(settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/none.sock"
    finding = next(doctor.broker())
    assert finding.level is Severity.ERROR
    assert "REDIS_URL" in finding.message


@pytest.mark.stack
def test_the_private_redis_is_good(redis_server):
    assert {finding.level for finding in doctor.broker()} == {Severity.GOOD}


@pytest.mark.stack
def test_a_redis_that_forgets_is_warned_of(redis_server):
    import redis

    with redis.Redis.from_url(redis_server) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            findings = list(doctor.broker())
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert any("allkeys-lru" in finding.message for finding in findings)


@pytest.mark.stack
def test_workers_that_listen_are_found(celery_workers):
    assert [finding.level for finding in doctor.workers()] == [Severity.GOOD, Severity.GOOD]


def test_endpoints_that_may_not_be_asked_are_warned_of(db, settings):
    for name in ("asked", "barred"):
        policy = make_policy(make_project(), name, kind="endpoint")
        url = f"https://{name}.example.org/v1"
        Endpoint.objects.create(policy=policy, project=policy.project, url=url, model="m")
    settings.ENDPOINT_HOSTS = ["asked.example.org"]
    levels = {finding.message.split()[0]: finding.level for finding in doctor.endpoints()}
    assert levels == {
        "https://asked.example.org/v1": Severity.GOOD,
        "https://barred.example.org/v1": Severity.WARNING,
    }
    settings.ENDPOINT_HOSTS = [":80"]
    assert [finding.level for finding in doctor.endpoints()] == [Severity.ERROR]


def test_the_device_is_told_without_importing_torch():
    (finding,) = doctor.training_device()
    assert finding.level is Severity.GOOD


def test_a_check_that_fails_is_a_finding(monkeypatch):
    def broken():
        raise RuntimeError("the roof is gone")

    monkeypatch.setattr(doctor, "chromium", broken)
    findings = {finding.about: finding for finding in doctor.look_around()}
    assert findings["Chromium"].level is Severity.ERROR
    assert "the roof is gone" in findings["Chromium"].message


def test_an_error_gives_exit_status_1(monkeypatch, capsys):
    finding = doctor.Finding(Severity.ERROR, "roof", "gone")
    monkeypatch.setattr("config.management.commands.doctor.look_around", lambda: [finding])
    with pytest.raises(SystemExit) as ended:
        call_command("doctor")
    assert ended.value.code == 1
    assert "roof: gone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("trackers", "messages"),
    [([], []), (["comet"], ["none of wandb, mlflow"]), (["mlflow"], ["pip install mlflow-skinny"])],
)
def test_a_tracker_that_cannot_be_told_is_named(settings, monkeypatch, trackers, messages):
    settings.TRACKERS = trackers
    monkeypatch.setattr("config.launch.doctor.importlib.util.find_spec", lambda _: None)
    findings = list(doctor.trackers())
    assert len(findings) == len(messages)
    for finding, expected in zip(findings, messages, strict=True):
        assert finding.level is Severity.ERROR
        assert expected in finding.message
