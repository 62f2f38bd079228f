"""Attention over packed trees on a GPU: variable-length kernels, no loop over trees.

Every part of a tree is one sequence of queries: the prompt looks at itself, a branch at its
prompt and itself. Keys and values are gathered once a layer in that order; the kernel's causal
mask must be aligned at the bottom right where keys outnumber queries, which is tried once on the
device before it is relied on. Half precision, no soft-capping, no sinks: whatever else goes
through ``attention``'s loop, which runs anywhere. Not measured yet. Knows nothing of models.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

log = logging.getLogger("engine")


class Sequences(NamedTuple):
    """Where each part's queries and keys begin, and where its keys are among the T tokens."""

    begins_q: Tensor  # [n + 1], int32
    begins_k: Tensor  # [n + 1], int32
    keys: Tensor  # [K], index into T
    longest_q: int
    longest_k: int


def sequences_of(segments: list[list[int]], device: torch.device) -> Sequences:
    """The sequences of trees with these segments: prompt's length, then the branches'."""
    lengths_q: list[int] = []
    lengths_k: list[int] = []
    keys: list[int] = []
    start = 0
    for prompt, *branches in segments:
        shared = range(start, start + prompt)
        lengths_q.append(prompt)
        lengths_k.append(prompt)
        keys += shared
        start += prompt
        for branch in branches:
            if branch:
                lengths_q.append(branch)
                lengths_k.append(prompt + branch)
                keys += [*shared, *range(start, start + branch)]
                start += branch

    def begins(lengths: list[int]) -> Tensor:
        return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)

    return Sequences(
        begins(lengths_q),
        begins(lengths_k),
        torch.tensor(keys, device=device),
        max(lengths_q),
        max(lengths_k),
    )


def attend(
    q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, scale: float | None, window: int | None
) -> Tensor:
    """q [1, H, T, D], k and v [1, G, T, D] -> [1, T, H, D]."""
    kernel = _kernel()
    if kernel is None:
        raise RuntimeError("there is no variable-length attention here")
    rows = [x[0].transpose(0, 1) for x in (q, k, v)]  # [T, heads, D]
    out: Tensor = kernel(
        rows[0],
        rows[1].index_select(0, sequences.keys),
        rows[2].index_select(0, sequences.keys),
        sequences.begins_q,
        sequences.begins_k,
        sequences.longest_q,
        sequences.longest_k,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q.shape[1] != k.shape[1],
    )
    return out[None]


def usable(q: Tensor, softcap: float | None, sinks: Tensor | None) -> bool:
    """Whether ``attend`` may be used for these queries."""
    half = q.dtype in (torch.bfloat16, torch.float16)
    return q.is_cuda and half and softcap is None and sinks is None and aligned(q.device)


@functools.cache
def aligned(device: torch.device) -> bool:
    """Whether the kernel's causal mask is what a branch needs: tried on one key too many.

    Two queries over three keys: the first must see keys 0 and 1, the second all three. The keys
    are alike, so each query gives the mean of the values that it sees.
    """
    kernel = _kernel()
    if kernel is None:
        return False
    zero = torch.zeros(3, 1, 64, dtype=torch.bfloat16, device=device)
    value = torch.tensor([0.0, 4.0, 8.0], device=device)[:, None, None].expand(3, 1, 64)
    q = torch.tensor([0, 2], dtype=torch.int32, device=device)
    k = torch.tensor([0, 3], dtype=torch.int32, device=device)
    try:
        out = kernel(zero[:2], zero, value.bfloat16(), q, k, 2, 3, window_size=(-1, 0))
    except (RuntimeError, TypeError, NotImplementedError) as error:
        log.info("variable-length attention is not usable: %s", error)
        return False
    return bool(torch.allclose(out[:, 0, 0].float(), torch.tensor([2.0, 4.0], device=device)))


def _kernel() -> Callable[..., Any] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
