"""What code made a result."""

from __future__ import annotations

import functools
import subprocess
import tomllib
from importlib import metadata

from django.conf import settings


@functools.cache
def code_version() -> str:
    """The git commit, with "+changes" where the checkout differs; without git, the package's."""
    if not (settings.BASE_DIR / ".git").exists():  # an outer folder's says nothing of this code
        return _package_version()
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes", "--abbrev=12"],
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return _package_version()
    return described.stdout.strip()


def _package_version() -> str:
    """The version of an unpacked archive or of an installed package."""
    try:
        with (settings.BASE_DIR / "pyproject.toml").open("rb") as file:
            version = tomllib.load(file)["project"]["version"]
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        try:
            version = metadata.version("whetstone")
        except metadata.PackageNotFoundError:
            return "unknown"
    return f"v{version}, not from git"
