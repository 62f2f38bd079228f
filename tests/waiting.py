"""Waiting for what another process does; without Django, for the engine's tests too."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

import pytest


def wait_for(condition: Callable[[], Any], description: str, *, seconds: float = 240) -> Any:
    """The first true value of ``condition()``; fails, naming ``description``, if none comes."""
    deadline = monotonic() + seconds
    while not (value := condition()):
        if monotonic() > deadline:
            pytest.fail(f"waited {seconds:g} s in vain for {description}")
        sleep(0.05)
    return value
