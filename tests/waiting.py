"""Waiting for another process; works without Django, so the engine's tests use it too."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import pytest


def wait_for(condition: Callable[[], Any], description: str, *, seconds: float = 240) -> Any:
    """The first true value of ``condition()``; fails with ``description`` if it takes too long."""
    deadline = monotonic() + seconds
    while not (value := condition()):
        if monotonic() > deadline:
            pytest.fail(f"gave up after {seconds:g} s of waiting for {description}")
        sleep(0.05)
    return value
