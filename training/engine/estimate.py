"""What training takes in memory: arithmetic of shapes, the same for the engine and for whoever
asks beforehand. Standard library alone; knows neither torch nor any model.
"""

from __future__ import annotations

import dataclasses

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


def kept_bytes(layers: int, hidden: int, inner: int, itemsize: int) -> int:
    """What one token's activations take until the backward pass, over all layers."""
    return layers * (HIDDEN_KEPT * hidden + INNER_KEPT * inner) * itemsize


def recomputed_bytes(layers: int, hidden: int, inner: int, itemsize: int) -> int:
    """The same where activations are recomputed: every layer's input, and one layer's own."""
    return layers * hidden * itemsize + kept_bytes(1, hidden, inner, itemsize)
