"""Attention over packed trees on a GPU: variable-length kernels, no loop over trees.

Every part of a tree is one sequence of queries: the prompt looks at itself, a branch at its
prompt and itself. Keys and values are gathered once a layer in that order; the kernel's causal
mask must be aligned at the bottom right where keys outnumber queries, which is tried once on the
device before it is relied on, forward and backward. Half precision, heads of up to 256, no
soft-capping, no sinks: whatever else goes through ``attention``'s loop, which runs anywhere.
Kernels that know no grouped queries (torch 2.11) are given each key and value head once a query
head. Knows nothing of models.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from training.engine.runtime.transfer import to_device

LARGEST_HEAD, HEAD_MULTIPLE = 256, 8  # what the flash kernels take
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
    begins_q, begins_k = ([0, *accumulate(lengths)] for lengths in (lengths_q, lengths_k))
    on_device = to_device([begins_q, begins_k, keys], device)
    return Sequences(
        on_device[0].to(torch.int32),
        on_device[1].to(torch.int32),
        on_device[2],
        max(lengths_q),
        max(lengths_k),
    )


def attend(
    q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, scale: float | None, window: int | None
) -> Tensor:
    """q [1, H, T, D], k and v [1, G, T, D] -> [1, T, H, D]."""
    rows = [x[0].transpose(0, 1) for x in (q, k, v)]  # [T, heads, D]
    out = _call(
        rows[0],
        rows[1].index_select(0, sequences.keys),
        rows[2].index_select(0, sequences.keys),
        sequences,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
    )
    return out[None]


def _call(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, **named: Any) -> Tensor:
    """The kernel on q [T, H, D] and gathered k, v [K, G, D] -> [T, H, D]."""
    kernel = _kernel()
    if kernel is None:
        raise RuntimeError("there is no variable-length attention here")
    if q.shape[1] != k.shape[1]:
        if groups_queries(kernel):
            named["enable_gqa"] = True
        else:
            k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    out: Tensor = kernel(
        q,
        k,
        v,
        sequences.begins_q,
        sequences.begins_k,
        sequences.longest_q,
        sequences.longest_k,
        **named,
    )
    return out


def groups_queries(kernel: Callable[..., Any]) -> bool:
    """Whether ``kernel`` takes fewer key than query heads."""
    return "enable_gqa" in inspect.signature(kernel).parameters


def repeats_heads() -> bool:
    """Whether keys and values are held once a query head: the kernel groups none."""
    kernel = _kernel()
    return kernel is not None and not groups_queries(kernel)


def usable(q: Tensor, softcap: float | None, sinks: Tensor | None) -> bool:
    """Whether ``attend`` may be used for these queries [..., D]."""
    half = q.dtype in (torch.bfloat16, torch.float16)
    size = q.shape[-1]
    fits = size <= LARGEST_HEAD and size % HEAD_MULTIPLE == 0
    return q.is_cuda and half and fits and softcap is None and sinks is None and aligned(q.device)


@functools.cache
def aligned(device: torch.device) -> bool:
    """Whether the kernel does what a branch needs, tried as it is called: grouped, both ways.

    Two queries over three keys: the first must see keys 0 and 1, the second all three. The keys
    are alike, so each query gives the mean of the values that it sees; the values' gradients are
    then a half and a third for each query that sees them, twice, as two heads share them.
    """
    if _kernel() is None:
        return False
    zero = torch.zeros(3, 2, 64, dtype=torch.bfloat16, device=device)
    value = torch.tensor([0.0, 4.0, 8.0], device=device)[:, None, None].expand(3, 1, 64)
    value = value.bfloat16().requires_grad_()
    begins_q, begins_k = (
        torch.tensor(n, dtype=torch.int32, device=device) for n in ([0, 2], [0, 3])
    )
    sequences = Sequences(begins_q, begins_k, begins_k, 2, 3)
    try:
        with torch.enable_grad():
            out = _call(zero[:2], zero[:, :1], value, sequences, scale=None, window_size=(-1, 0))
            (gradient,) = torch.autograd.grad(out.float().sum(), value)
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        log.info("variable-length attention is not usable: %s", error)
        return False
    expected = torch.tensor([5 / 3, 5 / 3, 2 / 3], device=device)
    return bool(
        torch.allclose(out[:, 0, 0].float(), torch.tensor([2.0, 4.0], device=device))
        and torch.allclose(gradient[:, 0, 0].float(), expected, rtol=2e-2)
    )


def _kernel() -> Callable[..., Any] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn
