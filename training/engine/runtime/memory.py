"""How much a micro-batch may compute at once: an estimate from the model's shape.

Smaller micro-batches come first, because they cost nothing; activations are recomputed
(gradient checkpointing) only where not even one tree would fit. The estimate is rough on the
safe side, and ``micro_batches`` catches what it misses. Knows nothing of trees.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from training.engine.estimate import ON_CPU, Widths, kept_bytes

FOUR_NORMS = {"gemma2", "gemma3_text"}  # around attention and MLP, on both sides


def useful_budget(budget: int, device: torch.device) -> int:
    """``budget``, or less where more would gain nothing."""
    return min(budget, ON_CPU) if device.type == "cpu" else budget


def bytes_per_token(config: Any, dtype: torch.dtype, **settings: Any) -> int:
    """What one token's activations take until the backward pass, over all layers.

    ``settings``: those of ``Widths`` that no configuration tells.
    """
    return kept_bytes(widths_of(config, **settings), dtype.itemsize)


def widths_of(
    config: Any, *, fused: bool = True, gathered: float = 2.0, repeats_heads: bool = False
) -> Widths:
    """The widths of a transformers configuration; the rest as ``Widths`` has it."""
    text = config.get_text_config()
    hidden, heads = int(text.hidden_size), int(text.num_attention_heads)
    size = int(getattr(text, "head_dim", None) or hidden // heads)
    inner = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    return Widths(
        layers=int(text.num_hidden_layers),
        hidden=hidden,
        queries=heads * size,
        keys=int(getattr(text, "num_key_value_heads", None) or heads) * size,
        inner=inner * int(getattr(text, "num_experts_per_tok", None) or 1),
        norms=4 if text.model_type in FOUR_NORMS else 2,
        fused=fused,
        gathered=gathered,
        repeats_heads=repeats_heads,
    )


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
