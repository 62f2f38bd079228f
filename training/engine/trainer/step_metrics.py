"""What a step reports: sums over its micro-batches, speed, sharing, memory.

Knows nothing of how anything is computed.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict

import torch
from torch import Tensor

from training.engine.data.chat import Tree
from training.engine.forward.layout import Layout
from training.engine.runtime.process_group import Group

LOSS = "the loss"  # a name that no metric has


class StepTally:
    """Sums over a step's micro-batches, and what was computed for them.

    What a device has computed stays there until ``gather``: reading it sooner would make the host
    wait for every micro-batch.
    """

    def __init__(self) -> None:
        self.sums: dict[str, float] = defaultdict(float)  # metrics, each a sum over examples
        self.totals: dict[str, float] = defaultdict(float)
        self._pending: dict[str, Tensor] = {}  # not read yet: the metrics, and the loss as LOSS
        self.began = time.monotonic()

    def add(
        self,
        loss: Tensor,
        sums: dict[str, Tensor],
        count: int,
        trees: list[Tree],
        layout: Layout,
        cached: int = 0,
    ) -> None:
        """One micro-batch; ``cached`` of its reference values came from the disk."""
        for name, value in {LOSS: loss, **sums}.items():
            wide = value.detach().double()
            self._pending[name] = self._pending[name] + wide if name in self._pending else wide
        tokens = layout.count(trees)
        for name, number in (
            ("count", count),
            ("in_rows", tokens.in_rows),
            ("used", tokens.used),
            ("computed", tokens.computed),
            ("micro_batches", 1),
            ("branches", sum(len(tree.branches) for tree in trees)),
            ("cached", cached),
        ):
            self.totals[name] += number

    def _read(self) -> None:
        """Bring what is pending over, all in one copy."""
        if not self._pending:
            return
        numbers = torch.stack(list(self._pending.values())).tolist()
        for name, number in zip(self._pending, numbers, strict=True):
            if name == LOSS:
                self.totals["loss"] += number
            else:
                self.sums[name] += number
        self._pending = {}

    def gather(self, group: Group) -> None:
        """Read what the device has, and add up all processes'; the same on each afterwards."""
        self._read()
        if group.world == 1:
            return
        parts = group.all((dict(self.sums), dict(self.totals)))
        self.sums, self.totals = defaultdict(float), defaultdict(float)
        for sums, totals in parts:
            for name, value in sums.items():
                self.sums[name] += value
            for name, value in totals.items():
                self.totals[name] += value

    @property
    def loss(self) -> float:
        return self.totals["loss"]

    def values(self) -> dict[str, float]:
        """Names and numbers for ``metrics.jsonl``."""
        seconds = max(time.monotonic() - self.began, 1e-9)
        total = self.totals
        return {
            "loss": self.loss,
            **{name: value / total["count"] for name, value in self.sums.items()},
            # Tokens of prompt + answer, however they were computed: comparable between layouts.
            "tokens_per_second": total["in_rows"] / seconds,
            "examples_per_second": total["count"] / seconds,
            "computed_tokens_per_second": total["computed"] / seconds,
            "tokens": total["in_rows"],
            "examples": total["count"],
            "seconds": seconds,
            "computed_tokens": total["computed"],
            "padding_share": 1 - total["used"] / total["computed"],
            "tokens_saved": total["in_rows"] - total["used"],
            "micro_batches": total["micro_batches"],
            "reference_cached_share": total["cached"] / total["branches"],
            "peak_memory_mib": peak_memory_mib(),
        }


def peak_memory_mib() -> float:
    """The most memory held so far: the GPU's where there is one, else this process's own."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
