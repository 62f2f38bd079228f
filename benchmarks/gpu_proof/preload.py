"""Loads what every part needs, without touching the card: children forked from here may use it.

bitsandbytes, which peft imports where it is installed, asks torch for cards while it is imported,
and a process that has asked leaves its children none. So no card is seen meanwhile; bitsandbytes
then takes its library for CPUs, and a part that wants it starts a process of its own.
"""

from __future__ import annotations

import importlib
from unittest import mock

MODULES = (
    "transformers",
    "peft",
    "training.engine.commands.train",
    "training.engine.commands.sample",
)


def load() -> None:
    """Import MODULES while torch reports no card."""
    import torch

    with (
        mock.patch.object(torch.cuda, "is_available", return_value=False),
        mock.patch.object(torch.cuda, "device_count", return_value=0),
    ):
        for name in MODULES:
            importlib.import_module(name)


load()
