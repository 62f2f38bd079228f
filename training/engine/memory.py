"""How much a micro-batch may compute at once: an estimate from the model's shape.

Smaller micro-batches come first, because they cost nothing; activations are recomputed
(gradient checkpointing) only where not even one tree would fit. The estimate is rough on the
safe side, and ``micro_batches`` catches what it misses. Knows nothing of trees.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

SMALL = 1024  # tokens: micro-batches below this are slower than recomputing
ON_CPU = 1024  # tokens: on a CPU larger micro-batches are no faster, and take memory
SHARE = 0.7  # of the free memory that activations may take
# Values a layer keeps for the backward pass, in widths: norms, residuals, q, k, v, attention's
# output, LoRA's inputs; and the gate, up, their product and activation in the MLP.
HIDDEN_KEPT, INNER_KEPT = 20, 6


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """``budget`` tokens at once, with or without recomputing; bytes are the estimate behind it."""

    budget: int
    checkpointing: bool
    bytes_per_token: int
    available: int


def plan_memory(budget: int, longest: int, bytes_per_token: int, available: int) -> MemoryPlan:
    """Fit ``budget`` tokens, or at least the longest tree, into ``available`` bytes."""
    fits = int(available * SHARE) // max(1, bytes_per_token)
    needed = max(longest, min(budget, SMALL))
    checkpointing = fits < needed
    return MemoryPlan(
        budget if checkpointing else min(budget, fits), checkpointing, bytes_per_token, available
    )


def useful_budget(budget: int, device: torch.device) -> int:
    """``budget``, or less where more would gain nothing."""
    return min(budget, ON_CPU) if device.type == "cpu" else budget


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """What one token's activations take until the backward pass, over all layers."""
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    inner = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    inner *= int(getattr(text, "num_experts_per_tok", None) or 1)
    kept = HIDDEN_KEPT * hidden + INNER_KEPT * inner
    return int(text.num_hidden_layers) * kept * dtype.itemsize


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
