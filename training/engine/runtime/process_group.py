"""The processes that train together (``accelerate launch``), or the only one.

What they exchange is little: one flat gradient a step, the step's sums, the reference's values,
and whether to stop. Everything else each process works out for itself from the same plan.
Knows nothing of models.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState  # type: ignore[import-untyped]
from torch import Tensor, nn

from training.engine.errors import EngineError


class Group:
    """``rank`` of ``world``; in a world of one every exchange gives back what it was given."""

    def __init__(self) -> None:
        _check_devices()
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
            PartialState(cpu=not torch.cuda.is_available())
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.world = dist.get_world_size() if together else 1

    def once(self, compute: Callable[[], Any]) -> Any:
        """What ``compute`` gives, worked out by the first process alone."""
        if self.world == 1:
            return compute()
        result = [compute() if self.rank == 0 else None]
        dist.broadcast_object_list(result, src=0)
        return result[0]

    def all(self, value: Any) -> list[Any]:
        """Every process's ``value``, by rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        dist.all_gather_object(values, value)
        return values

    def any(self, flag: bool) -> bool:
        """Whether any process says yes."""
        return any(self.all(flag))

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            dist.barrier()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add up the gradients of all processes, in one exchange; a missing one counts as 0."""
        if self.world == 1:
            return
        trained = list(parameters)
        flat = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in trained]
        )
        dist.all_reduce(flat)
        parts = torch.split(flat, [p.numel() for p in trained])
        for parameter, part in zip(trained, parts, strict=True):
            parameter.grad = part.view_as(parameter).to(parameter.dtype)

    def sum(self, tensor: Tensor, device: torch.device) -> Tensor:
        """The sum of every process's ``tensor`` (on the CPU); ``device`` is where they talk."""
        if self.world == 1:
            return tensor
        total = tensor.to(device)
        dist.all_reduce(total)
        return total.cpu()


def _check_devices() -> None:
    """Raise EngineError where more processes were launched here than there are GPUs."""
    launched = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    gpus = torch.cuda.device_count()
    if torch.cuda.is_available() and launched > gpus:
        raise EngineError(
            "not_available",
            f"{launched} processes were launched here, for {gpus} GPU{'s' if gpus > 1 else ''}",
            f"Launch at most {gpus} on this machine (--num_processes): two on one GPU only share "
            "its memory.",
        )
