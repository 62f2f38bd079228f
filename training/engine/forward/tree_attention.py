"""Attention over packed trees: a branch sees its prompt and itself, and nothing else.

Registered with transformers as one more attention implementation; the micro-batch's
``TreePlan`` reaches it as the keyword ``tree_plan`` of the model's call. No mask of T × T is
ever built: short trees are one small masked call each, long ones one causal call for the
prompt and one a branch, so nothing is padded and the causal half is skipped. Sliding windows,
soft-capping and attention sinks are honoured; any other wish of a model is refused, so that
the caller falls back to the padded layout. Knows nothing of where positions come from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from training.engine.forward import tree_attention_cuda

NAME = "whetstone_tree"
WHOLE = 320  # a tree of up to this many tokens is one masked call: cheaper than several small ones
# What models pass along that has no say in the result: caches are off, positions are in q and k.
IRRELEVANT = {
    "position_ids",
    "position_embeddings",
    "use_cache",
    "cache_position",
    "past_key_values",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "is_causal",
    "cache_implementation",
}


class TreePlan:
    """The shape of one micro-batch: every tree's segments, and the masks they need.

    Masks are additive, [q, k], made once for all layers and reused by every tree of that shape.
    """

    def __init__(self, segments: list[list[int]]) -> None:
        self.segments = segments
        self._masks: dict[Any, Tensor] = {}
        self._sequences: tree_attention_cuda.Sequences | None = None

    def sequences(self, device: torch.device) -> tree_attention_cuda.Sequences:
        """For the GPU's kernel; made once a micro-batch."""
        if self._sequences is None:
            self._sequences = tree_attention_cuda.sequences_of(self.segments, device)
        return self._sequences

    def within(self, rows: int, before: int, window: int | None, like: Tensor) -> Tensor:
        """For ``rows`` positions that follow ``before`` others: [rows, before + rows]."""
        key = (rows, before, window, like.dtype)
        if key not in self._masks:
            q = torch.arange(before, before + rows, device=like.device)[:, None]
            k = torch.arange(before + rows, device=like.device)[None]
            self._masks[key] = additive(visible(q, k, window), like)
        return self._masks[key]

    def whole(self, lengths: list[int], window: int | None, like: Tensor) -> Tensor:
        """For a whole tree of n tokens, branches blind to each other: [n, n]."""
        key = (tuple(lengths), window, like.dtype)
        if key not in self._masks:
            prompt = lengths[0]
            part = torch.tensor([i for i, n in enumerate(lengths) for _ in range(n)])
            places = [torch.arange(prompt)]
            places += [torch.arange(prompt, prompt + n) for n in lengths[1:]]
            place = torch.cat(places)
            seen = visible(place[:, None], place[None], window)
            seen &= (part[None] == 0) | (part[:, None] == part[None])
            self._masks[key] = additive(seen.to(like.device), like)
        return self._masks[key]


def tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    tree_plan: TreePlan | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of T packed tokens: query [1, H, T, D], key and value [1, G, T, D] -> [1, T, H, D].

    ``sliding_window`` w lets a position see itself and the w - 1 before it on its own path.
    ``softcap`` c bounds scores to c·tanh(score / c) (Gemma 2); ``s_aux`` [H] is a score that
    takes probability and gives nothing (gpt-oss).
    """
    unknown = {n for n, v in others.items() if v is not None and n not in IRRELEVANT}
    if tree_plan is None or attention_mask is not None or dropout or unknown:
        raise NotImplementedError(
            f"{type(module).__name__} asks its attention for something that trees do not have: "
            f"plan {tree_plan is not None}, mask {attention_mask is not None}, "
            f"dropout {dropout}, {', '.join(sorted(unknown)) or 'nothing else'}"
        )
    window = sliding_window or None
    if tree_attention_cuda.usable(query, softcap, s_aux):
        sequences = tree_plan.sequences(query.device)
        return tree_attention_cuda.attend(query, key, value, sequences, scaling, window), None
    sizes = [sum(lengths) for lengths in tree_plan.segments]
    outputs = []
    for lengths, q, k, v in zip(
        tree_plan.segments,
        torch.split(query, sizes, 2),
        torch.split(key, sizes, 2),
        torch.split(value, sizes, 2),
        strict=True,
    ):
        mask: Tensor | None
        if sum(lengths) <= WHOLE and len(lengths) > 1:
            mask = tree_plan.whole(lengths, window, q)
            outputs.append(attend(q, k, v, mask, scaling, softcap, s_aux))
            continue
        prompt_k, *branch_k = torch.split(k, lengths, 2)
        prompt_v, *branch_v = torch.split(v, lengths, 2)
        prompt_q, *branch_q = torch.split(q, lengths, 2)
        plain = softcap is None and s_aux is None and (window is None or window >= lengths[0])
        mask = None if plain else tree_plan.within(lengths[0], 0, window, q)
        outputs.append(attend(prompt_q, prompt_k, prompt_v, mask, scaling, softcap, s_aux))
        for bq, bk, bv in zip(branch_q, branch_k, branch_v, strict=True):
            if bq.shape[2]:
                mask = tree_plan.within(bq.shape[2], lengths[0], window, q)
                bk, bv = torch.cat([prompt_k, bk], 2), torch.cat([prompt_v, bv], 2)
                outputs.append(attend(bq, bk, bv, mask, scaling, softcap, s_aux))
    return torch.cat(outputs, 2).transpose(1, 2), None


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """q [B, H, n, D] over k, v [B, G, m, D]; without a mask, causal with n = m. [B, H, n, D]."""
    if softcap is None and sinks is None:
        return scaled_dot_product_attention(
            q,
            k,
            v,
            mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )
    if mask is None:
        raise ValueError("soft-capping and sinks need their mask written out")
    groups = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores + mask
    if sinks is not None:
        sink = sinks.reshape(1, -1, 1, 1).to(scores.dtype).expand(len(q), -1, q.shape[2], 1)
        scores = torch.cat([scores, sink], -1)
    weights = torch.softmax(scores, -1, dtype=wide(q.dtype)).to(q.dtype)
    return weights[..., : k.shape[2]] @ v


def visible(q: Tensor, k: Tensor, window: int | None) -> Tensor:
    seen = k <= q
    return seen if window is None else seen & (k > q - window)


def additive(seen: Tensor, like: Tensor) -> Tensor:
    zero = torch.zeros(seen.shape, dtype=like.dtype, device=like.device)
    return zero.masked_fill(~seen, float("-inf"))


def wide(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32


AttentionInterface.register(NAME, tree_attention)
