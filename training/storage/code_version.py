"""What code made a result."""

from __future__ import annotations

import functools
import subprocess
import tomllib

from django.conf import settings


@functools.cache
def code_version() -> str:
    """The git commit, with "+changes" where the checkout differs; without git, the package's."""
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
    """The version in pyproject.toml, for an installation from an archive."""
    try:
        with (settings.BASE_DIR / "pyproject.toml").open("rb") as file:
            return f"v{tomllib.load(file)['project']['version']}, not from git"
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"
