"""Numbers from Python's lists to a device in one copy, which nobody waits for.

A copy from ordinary memory makes the host wait for the GPU; one from pinned memory does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(lists: list[list[int]], device: torch.device) -> list[Tensor]:
    """Each list as int64 [n] on ``device``, all in one copy."""
    flat = torch.tensor([number for numbers in lists for number in numbers], dtype=torch.long)
    return list(torch.split(moved(flat, device), [len(numbers) for numbers in lists]))


def doubles(numbers: Sequence[float], device: torch.device) -> Tensor:
    """``numbers`` as fp64 [n] on ``device``."""
    return moved(torch.tensor(numbers, dtype=torch.float64), device)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """``tensor``, which is on the CPU, on ``device``."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
