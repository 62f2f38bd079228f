"""How much a micro-batch may compute at once: an estimate from the model's shape.

Smaller micro-batches come first, because they cost nothing; activations are recomputed
(gradient checkpointing) only where not even one tree would fit. The estimate is rough on the
safe side, and ``micro_batches`` catches what it misses. Knows nothing of trees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .estimate import ON_CPU, kept_bytes


def useful_budget(budget: int, device: torch.device) -> int:
    """``budget``, or less where more would gain nothing."""
    return min(budget, ON_CPU) if device.type == "cpu" else budget


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """What one token's activations take until the backward pass, over all layers."""
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    inner = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    inner *= int(getattr(text, "num_experts_per_tok", None) or 1)
    return kept_bytes(int(text.num_hidden_layers), hidden, inner, dtype.itemsize)


def available_bytes(device: torch.device) -> int:
    """Free memory of the device; on the CPU within the control group's limit, if it has one."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    free = _meminfo("MemAvailable")
    limit, used = (_number(Path("/sys/fs/cgroup") / f"memory.{n}") for n in ("max", "current"))
    return min(free, limit - used) if limit is not None and used is not None else free


def _meminfo(name: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 1 << 40  # not Linux: nothing is known, so nothing is limited
    (kib,) = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(kib) * 1024


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
