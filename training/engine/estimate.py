"""What training takes in memory: arithmetic of shapes, the same for the engine and for an
estimate beforehand. Standard library alone; knows neither torch nor any model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

SMALL = 1024  # tokens: micro-batches below this are slower than recomputing
ON_CPU = 1024  # tokens: on a CPU larger micro-batches are no faster, and take memory
SHARE = 0.7  # of the free memory that activations may take


@dataclasses.dataclass(frozen=True)
class Widths:
    """What the activations of a decoder depend on, in values a token.

    ``queries`` and ``keys`` are heads times their size; ``norms`` how many a layer has. ``fused``:
    LoRA computes in ``fused_lora``'s way, not in peft's, which keeps copies in fp32 (dropout and
    4 bits need that one). ``gathered``: keys that attention gathers for each token computed, as
    ``gathered_keys`` counts them; ``repeats_heads``: its kernel needs each key and value head once
    a query head (torch 2.11).
    """

    layers: int
    hidden: int
    queries: int
    keys: int
    inner: int
    norms: int = 2
    fused: bool = True
    gathered: float = 2.0
    repeats_heads: bool = False


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


def gathered_keys(prompt: int, branches: Sequence[int]) -> float:
    """Keys that attention gathers over tokens computed, for a prompt and its branches in tokens.

    A branch looks at its prompt's keys and its own, so a pair with a long prompt comes near 3.
    """
    computed = prompt + sum(branches)
    return (computed + len(branches) * prompt) / max(1, computed)


def kept_bytes(widths: Widths, itemsize: int) -> int:
    """What one token's activations take until the backward pass, over all layers.

    Counted on what autograd keeps of the shapes of Llama, Qwen3 and Gemma 3 (bf16, prompts of two
    and of twenty answers' length; ``benchmarks.gpu_proof.without_card``): a norm keeps its input
    in fp32 and its output; attention its queries before and after their own norm and its result,
    keys and values, and both once more as they are gathered for every branch; an MLP gate, up,
    activation and product. The estimate is at or above the count, by at most a quarter.
    """
    w = widths
    of_norms = 3 * w.norms * w.hidden
    gathered = 2 * w.gathered * (w.queries if w.repeats_heads else w.keys)
    of_attention = 4 * w.queries + 3 * w.keys + gathered
    of_mlp = 4 * w.inner
    copies = 0 if w.fused else 10 * w.hidden + 2 * w.queries + 2 * w.inner
    return round(w.layers * (of_norms + of_attention + of_mlp + copies) * itemsize)


def recomputed_bytes(widths: Widths, itemsize: int) -> int:
    """The same where activations are recomputed: every layer's input, and one layer's own."""
    one_layer = dataclasses.replace(widths, layers=1)
    return widths.layers * widths.hidden * itemsize + kept_bytes(one_layer, itemsize)
