"""What code made a result."""

from __future__ import annotations

import functools
import subprocess

from django.conf import settings


@functools.cache
def code_version() -> str:
    """The git commit, with "+changes" where the checkout differs; "unknown" without git."""
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
        return "unknown"
    return described.stdout.strip()
