"""What the rest knows of how log-probabilities are computed: a protocol.

``padded`` works for every model; ``shared`` computes each prompt once.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from training.engine.data.chat import Tree


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

    def sizes(self, trees: list[Tree]) -> list[int]:
        """Tokens that each tree computes when it stands alone."""
        ...

    def plan(self, trees: list[Tree], budget: int) -> list[list[int]]:
        """Bins of indices into ``trees``, each within ``budget`` tokens where it can be."""
        ...

    def count(self, trees: list[Tree]) -> TokenCount:
        """What computing these trees together takes."""
        ...

    def logps(self, model: Any, trees: list[Tree]) -> Tensor:
        """Summed log-probability of each branch given its prompt, fp64 [S]."""
        ...
