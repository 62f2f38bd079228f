"""The wheel has all of Whetstone's own files: built, installed elsewhere, started there."""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from tests.config.conftest import Installation, free_port
from tests.conftest import ROOT, wait_for

pytestmark = pytest.mark.stack
PARTS = ("annotate", "config", "docs", "locale", "static", "templates", "training", "whetstone")
FILES = ("LICENSE", "README.md", "pyproject.toml", "requirements.txt", "setup.py")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an environment with the wheel in it; other packages come from ours."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in PARTS:
        shutil.copytree(
            ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for file in FILES:
        shutil.copy(ROOT / file, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("whetstone-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (packages,) = folder.glob("env/lib/python3.*/site-packages")
    (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    return python


def test_it_starts_from_an_empty_folder(installed, tmp_path):
    installation = Installation(tmp_path / "var", free_port())
    environment = installation.environment | {"SEED_DEMO": "1"}
    del environment["WHETSTONE_HOME"]  # the default is the folder it is started in
    environment.pop("PYTHONPATH", None)
    with (tmp_path / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [str(installed), "-m", "whetstone", "up"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: installation.answers() or process.poll() is not None, "the web server to answer"
        )
        assert process.poll() is None, (tmp_path / "up.log").read_text()
        with urllib.request.urlopen(f"{installation.url}/login/") as response:
            page = response.read().decode()
        (css,) = {part for part in page.split('"') if "/css/base." in part}
        with urllib.request.urlopen(installation.url + css) as response:
            assert response.status == 200
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    assert (tmp_path / "var" / "db.sqlite3").exists()
    command = [str(installed), "-m", "whetstone", "dry_run", "--project", "demo"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr  # the demo project, with its model, is there
