"""Log-probabilities under the frozen reference, computed once before the first step.

The same layout and number format as the policy's, so that step 0's loss is ln 2 to the last
bit that matters. Knows nothing of what the values are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .chat import Tree


class TokenCount(NamedTuple):
    """Positions of one forward pass: in plain rows of prompt + branch, used, and computed.

    ``in_rows - used`` is what sharing prompts saves; ``computed - used`` is padding.
    """

    in_rows: int
    used: int
    computed: int


class Layout(Protocol):
    """A way to compute the summed log-probabilities of branches."""

    name: str

    def plan(self, trees: list[Tree], budget: int) -> list[list[int]]: ...

    def count(self, trees: list[Tree]) -> TokenCount: ...

    def logps(self, model: Any, trees: list[Tree]) -> Tensor: ...


def score(
    layout: Layout,
    model: Any,
    trees: list[Tree],
    budget: int,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Summed log-probabilities of all branches of ``trees``, fp64 on the CPU, [S].

    ``model`` speaks as whatever adapter is active. ``progress(done, total)`` is called between
    bins, and may raise to stop.
    """
    starts = [0]
    for tree in trees:
        starts.append(starts[-1] + len(tree.branches))
    result = torch.zeros(starts[-1], dtype=torch.float64)
    done = 0
    model.eval()
    with torch.no_grad():
        for chosen in layout.plan(trees, budget):
            if progress:
                progress(done, len(trees))
            values = layout.logps(model, [trees[i] for i in chosen]).double().cpu()
            at = 0
            for i in chosen:
                size = len(trees[i].branches)
                result[starts[i] : starts[i] + size] = values[at : at + size]
                at += size
            done += len(chosen)
    if progress:
        progress(done, len(trees))
    return result
