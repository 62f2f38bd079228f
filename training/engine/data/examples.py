"""Trees with what the reference says of them. Knows nothing of files or models."""

from __future__ import annotations

import torch
from torch import Tensor

from training.engine.data.chat import Tree
from training.engine.runtime.transfer import moved


class Examples:
    """Trees, their reference log-probabilities, and which of those came from the disk.

    ``reference`` is [S] over all branches in order, or None where no loss needs it; ``cached``
    says the same way which values had been kept.
    """

    def __init__(
        self, trees: list[Tree], reference: Tensor | None, cached: list[bool] | None = None
    ) -> None:
        self.trees = trees
        sizes = [len(tree.branches) for tree in trees]
        self._rows = None if reference is None else list(torch.split(reference, sizes))
        flags = iter(cached or [False] * sum(sizes))
        self._cached = [sum(next(flags) for _ in range(size)) for size in sizes]

    def reference(self, indices: list[int], device: torch.device) -> Tensor | None:
        """The reference values of these trees' branches, [S]."""
        if self._rows is None:
            return None
        return moved(torch.cat([self._rows[i] for i in indices]), device)

    def cached(self, indices: list[int]) -> int:
        """How many of these trees' reference values were kept from before."""
        return sum(self._cached[i] for i in indices)
