"""Which versions of what computes the numbers."""

from __future__ import annotations

import platform

import peft
import torch
import transformers

LAYOUT_VERSION = 2  # of the numbers: raised when the same job would give other values


def versions() -> dict[str, str]:
    """What a result depends on besides its job."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "layout": str(LAYOUT_VERSION),
    }
