"""Walking through micro-batches, smaller ones where memory runs out.

A micro-batch either counts wholly or not at all, so splitting one and trying again changes no
sum. Knows nothing of what is computed.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable

import torch

from training.engine.data.chat import Tree
from training.engine.errors import is_out_of_memory
from training.engine.forward.layout import Layout
from training.engine.forward.plan import share_out
from training.engine.runtime.process_group import Group

log = logging.getLogger("engine")


class MicroBatches:
    """Bins of at most ``budget`` tokens; after running out of memory, of fewer.

    ``in_step``: every micro-batch needs all processes of a group (their layers are spread), so
    all must walk equally often, and none may split what does not fit.
    """

    def __init__(self, layout: Layout, budget: int, *, in_step: bool = False) -> None:
        self.layout = layout
        self.budget = budget
        self.in_step = in_step
        self.splits = 0

    def walk_share(
        self,
        trees: list[Tree],
        group: Group,
        compute: Callable[[list[int]], None],
        idle: Callable[[], None],
    ) -> None:
        """As ``walk``, for this process's share of ``trees``, which all processes are given.

        Where all must keep in step, ``idle`` is called as often as a process has less to do than
        the one with most; it computes something that counts for nothing.
        """
        shares = share_out(self.layout.sizes(trees), group.world)
        bins = [len(self._plan(trees, share)) for share in shares] if self.in_step else []
        mine = shares[group.rank]
        self.walk([trees[i] for i in mine], lambda chosen: compute([mine[i] for i in chosen]))
        if self.in_step:
            for _ in range(max(bins) - bins[group.rank]):
                idle()

    def _plan(self, trees: list[Tree], share: list[int]) -> list[list[int]]:
        return self.layout.plan([trees[i] for i in share], self.budget)

    def walk(self, trees: list[Tree], compute: Callable[[list[int]], None]) -> None:
        """Call ``compute`` with indices into ``trees``, bin by bin, each tree once.

        ``compute`` may run out of memory as long as it leaves nothing behind when it does; a
        single tree that does not fit is an error.
        """
        waiting = self.layout.plan(trees, self.budget)
        while waiting:
            indices = waiting.pop(0)
            if not self._fits(indices, compute):
                part = [trees[i] for i in indices]
                self._shrink(sum(self.layout.sizes(part)))
                again = self.layout.plan(part, self.budget)
                if len(again) == 1:  # one bin by the layout's own counting: cut it by number
                    again = [again[0][::2], again[0][1::2]]
                waiting = [[indices[i] for i in bin] for bin in again] + waiting

    def _fits(self, indices: list[int], compute: Callable[[list[int]], None]) -> bool:
        try:
            compute(indices)
        except Exception as error:
            if self.in_step or len(indices) == 1 or not is_out_of_memory(error):
                raise
            return False
        return True

    def _shrink(self, size: int) -> None:
        """Called outside the handler: its traceback would keep the tensors alive."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.splits += 1
        self.budget = max(1, min(self.budget, size) // 2)
        log.warning(
            "a micro-batch of %d tokens did not fit into memory: from now on %d", size, self.budget
        )
