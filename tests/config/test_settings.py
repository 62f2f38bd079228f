"""The settings as an operator sees them: documented, and safe in production."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from config.environment import VARIABLES
from tests.conftest import ROOT, child_environment

PUBLIC = "https://whetstone.example.org"


def variables() -> set[str]:
    """The environment variables that the settings read."""
    text = (ROOT / "config" / "settings.py").read_text()
    return set(re.findall(r'\benvironment\.\w+\(\s*"(\w+)"', text))


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def shown(name: str, **environment: str) -> str:
    """A setting's value in a new process."""
    code = f"from config import settings; print(settings.{name})"
    result = run("-c", code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("name", sorted(variables()))
def test_each_variable_is_documented(name):
    assert f"`{name}`" in (ROOT / "docs" / "settings.md").read_text()


def test_a_documented_variable_is_read():
    table = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", table, flags=re.MULTILINE))
    assert documented == variables() == set(VARIABLES)


def test_production_passes_djangos_own_check():
    command = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    result = run(*command, WHETSTONE_URL=PUBLIC)
    assert result.returncode == 0, result.stderr


def test_plans_are_kept_by_postgresql_unless_told_otherwise():
    options, database = 'DATABASES["default"].get("OPTIONS")', "postgresql://user@host/name"
    assert "'prepare_threshold': 3" in shown(options, DATABASE_URL=database)
    shown_options = shown(options, DATABASE_URL=database, DATABASE_PREPARE="false")
    assert "prepare_threshold" not in shown_options


def test_cookies_are_for_https_alone_behind_an_https_address():
    assert shown("SESSION_COOKIE_SECURE", WHETSTONE_URL=PUBLIC) == "True"
    assert shown("SESSION_COOKIE_SECURE", WHETSTONE_URL="http://localhost:8000") == "False"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://localhost:9000"),
        ("::1", "http://[::1]:9000"),
    ],
)
def test_the_address_can_be_opened_in_a_browser(host, url):
    assert shown("PUBLIC_URL", HOST=host, PORT="9000") == url


def test_the_secret_key_is_made_once_and_kept(tmp_path):
    first = shown("SECRET_KEY", WHETSTONE_HOME=str(tmp_path))
    assert len(first) > 50
    assert shown("SECRET_KEY", WHETSTONE_HOME=str(tmp_path)) == first
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_neither_web_server_nor_worker_imports_torch():
    code = (
        "import sys, config.celery, config.wsgi, config.urls\n"
        "config.celery.app.loader.import_default_modules()\n"
        "from django.urls import get_resolver\n"
        "get_resolver().reverse_dict\n"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    result = run("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
