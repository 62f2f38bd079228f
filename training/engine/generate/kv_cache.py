"""Attention that keeps keys and values: a prompt's once for all its answers, an answer's beside it.

Registered with transformers as one more attention implementation; the ``Kept`` of a batch reaches
it as the keyword ``kept`` of the model's call. A batch is either new prompts, padded at their ends
(causal attention needs no mask for that), or one new token of every row. A row's scores over its
prompt and over its own answer go through one softmax, so the result is that of one sequence; but
the prompt's keys and values are read once for all rows that answer it, which on a CPU is most of
the work. Nothing is copied as answers grow. Sliding windows, soft-capping and sinks are honoured,
any other wish of a model is refused. Knows nothing of sampling.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from training.engine.forward.tree_attention import IRRELEVANT, additive, attend, visible, wide

NAME = "whetstone_kept"
GROWTH = 1.5
PIECE = 8  # slots at least that are computed together
PADDING = 8  # of a larger piece, one part in this many may be padding
Int64s = np.ndarray  # of int64


class CacheLayer:
    """One layer's keys or values: [slots, G, length, D], grown when it gets too small.

    It starts as zeros and old values stay finite: what is masked must not be NaN.
    """

    def __init__(self) -> None:
        self.data = torch.zeros(0, 0, 0, 0)
        self.moves = 0  # how often it has come to lie elsewhere

    def fit(self, slots: int, length: int, like: Tensor) -> Tensor:
        """The pool, with room for that many slots of that length; ``like`` is [., G, ., D]."""
        old = self.data
        if old.shape[0] < slots or old.shape[2] < length:
            if 0 < old.shape[2] < length:
                length = max(length, int(old.shape[2] * GROWTH))
            slots, length = max(slots, old.shape[0]), max(length, old.shape[2])
            self.data = like.new_zeros(slots, like.shape[1], length, like.shape[3])
            self.moves += 1
            if old.shape[0]:
                self.data[: old.shape[0], :, : old.shape[2]] = old
        return self.data

    def move(self, source: int, target: int, length: int) -> None:
        if length:  # a row that ended with its first token has nothing here, nor perhaps anybody
            self.data[target, :, :length] = self.data[source, :, :length]


class KvCache:
    """Keys and values of the prompts and answers under way, and the shape of the batch at hand."""

    def __init__(self, layers: int, prompts: int, rows: int, device: torch.device) -> None:
        self.prompt_slots, self.row_slots = prompts + 1, rows  # one prompt that nobody reads
        self._device = device
        self._pools = [[CacheLayer() for _ in range(4)] for _ in range(layers)]
        self._masks: dict[Any, Tensor] = {}
        self.decoding = False

    # --- what comes next ---

    def expect_prompts(self, slots: list[int], width: int) -> None:
        """The next call computes new prompts, padded to ``width``, into these slots."""
        self.decoding = False
        self._masks.clear()
        self._slots = torch.tensor(slots, device=self._device)
        self._width = width

    def expect_tokens(
        self, *, slot: Int64s, place: Int64s, prompt: Int64s, written: Int64s
    ) -> None:
        """The next call computes one token of each row 0, 1, ….

        Told are its prompt's slot, its place among the rows of that prompt, the prompt's length,
        and how many tokens of the row itself are kept already.
        """
        self.decoding = True
        self._masks.clear()
        self._slot, self._place = self._tensor(slot), self._tensor(place)
        self._prompt, self._written = self._tensor(prompt), self._tensor(written)
        self._row = torch.arange(len(slot), device=self._device)
        self._prompts, self._places = int(slot.max()) + 1, int(place.max()) + 1
        self._longest_prompt, self._longest = int(prompt.max()), int(written.max()) + 1
        of_slots = np.zeros(self._prompts, np.int64)
        of_slots[slot] = prompt
        self._prompt_pieces = pieces(of_slots.tolist())
        self._row_pieces = pieces((written + 1).tolist())

    def expect_shape(
        self,
        slot: Tensor,
        place: Tensor,
        prompt: Tensor,
        written: Tensor,
        *,
        prompts: int,
        places: int,
        prompt_tokens: int,
        answer_tokens: int,
    ) -> None:
        """As ``expect_tokens``, for numbers [R] that are on the device and may change there.

        Nothing here depends on their values: the shape is as large as is said.
        """
        self.decoding = True
        self._masks.clear()
        self._slot, self._place, self._prompt, self._written = slot, place, prompt, written
        self._row = torch.arange(len(slot), device=self._device)
        self._prompts, self._places = prompts, places
        self._longest_prompt, self._longest = prompt_tokens, answer_tokens
        self._prompt_pieces = [(0, prompts, prompt_tokens)]
        self._row_pieces = [(0, len(slot), answer_tokens)]

    def reserve(self, prompt_tokens: int, answer_tokens: int) -> int:
        """Make room for so long prompts and answers; returns how often anything has moved."""
        for layer in self._pools:
            like = layer[0].data
            for pool in layer[:2]:
                pool.fit(self.prompt_slots, prompt_tokens, like)
            for pool in layer[2:]:
                pool.fit(self.row_slots, answer_tokens, like)
        return sum(pool.moves for layer in self._pools for pool in layer)

    def move_row(self, source: int, target: int, written: int) -> None:
        for layer in self._pools:
            for pool in layer[2:]:
                pool.move(source, target, written)

    def move_prompt(self, source: int, target: int, length: int) -> None:
        for layer in self._pools:
            for pool in layer[:2]:
                pool.move(source, target, length)

    # --- within the model ---

    def attend_prompts(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
        sinks: Tensor | None,
    ) -> Tensor:
        """q [P, H, T, D], k and v [P, G, T, D] -> [P, H, T, D]."""
        width = q.shape[2]
        for pool, new in zip(self._pools[layer][:2], (k, v), strict=True):
            pool.fit(self.prompt_slots, self._width, new)[self._slots, :, :width] = new
        mask = None
        if softcap is not None or sinks is not None or (window is not None and window < width):
            if window not in self._masks:
                places = torch.arange(width, device=q.device)
                self._masks[window] = additive(visible(places[:, None], places[None], window), q)
            mask = self._masks[window]
        return attend(q, k, v, mask, scaling, softcap, sinks)

    def attend_tokens(
        self,
        layer: int,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
        sinks: Tensor | None,
    ) -> Tensor:
        """q [R, H, 1, D], k and v [R, G, 1, D] -> [R, H, 1, D]."""
        rows, heads, _, size = q.shape
        groups = k.shape[1]
        each = heads // groups
        prompt_k, prompt_v, row_k, row_v = self._pools[layer]
        for pool, new in ((row_k, k), (row_v, v)):
            data = pool.fit(self.row_slots, self._longest, new)
            data[self._row, :, self._written] = new[:, :, 0]
        scale = size**-0.5 if scaling is None else scaling
        mine = (q * scale).view(rows, groups, each, size)
        before = _scores(self._by_prompt(mine), prompt_k, self._prompt_pieces, self._longest_prompt)
        own = _scores(mine, row_k, self._row_pieces, self._longest)
        scores = torch.cat([self._to_rows(before), own], -1)  # [R, G, each, Lp + Ls]
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        scores = scores + self._visible(window, scores)
        if sinks is not None:
            sink = sinks.view(1, groups, each, 1).to(scores.dtype).expand(rows, -1, -1, 1)
            scores = torch.cat([scores, sink], -1)
        weights = torch.softmax(scores, -1, dtype=wide(q.dtype)).to(q.dtype)
        border = self._longest_prompt
        own = weights[..., border : border + self._longest]
        out = _gathered(own, row_v, self._row_pieces)
        before = self._by_prompt(weights[..., :border])
        out += self._to_rows(_gathered(before, prompt_v, self._prompt_pieces))
        return out.view(rows, heads, 1, size)

    def _by_prompt(self, of_rows: Tensor) -> Tensor:
        """[R, G, each, X] as [P, G, places · each, X]; empty places are zero."""
        _, groups, each, size = of_rows.shape
        grid = of_rows.new_zeros(self._prompts, groups, self._places, each, size)
        grid[self._slot, :, self._place] = of_rows
        return grid.view(self._prompts, groups, self._places * each, size)

    def _to_rows(self, of_prompts: Tensor) -> Tensor:
        """[P, G, places · each, X] as [R, G, each, X]."""
        prompts, groups, count, size = of_prompts.shape
        grid = of_prompts.view(prompts, groups, self._places, count // self._places, size)
        return grid[self._slot, :, self._place]

    def _visible(self, window: int | None, like: Tensor) -> Tensor:
        """Additive [R, 1, 1, Lp + Ls]: a row sees its prompt and its answer up to now."""
        if window not in self._masks:
            columns = torch.arange(self._longest_prompt, device=like.device)[None]
            seen_prompt = columns < self._prompt[:, None]
            own = torch.arange(self._longest, device=like.device)[None]
            seen_own = own <= self._written[:, None]
            if window is not None:
                now = (self._prompt + self._written)[:, None]
                seen_prompt &= columns > now - window
                seen_own &= own + self._prompt[:, None] > now - window
            seen = torch.cat([seen_prompt, seen_own], -1)
            self._masks[window] = additive(seen, like)[:, None, None]
        return self._masks[window]

    def _tensor(self, numbers: Int64s) -> Tensor:
        return torch.from_numpy(numbers).to(self._device)


def pieces(lengths: list[int]) -> list[tuple[int, int, int]]:
    """Runs of slots (first, behind the last, their longest) that are computed together.

    Neighbours are of like length, since they came together; a run ends where its padding would
    exceed one in PADDING of it, but not before it has PIECE slots.
    """
    runs = []
    start, longest, used = 0, 0, 0
    for end, length in enumerate(lengths):
        count = end - start
        padded = max(longest, length) * (count + 1)
        if count >= PIECE and (padded - used - length) * PADDING > padded:
            runs.append((start, end, longest))
            start, longest, used = end, 0, 0
        longest, used = max(longest, length), used + length
    return [*runs, (start, len(lengths), longest)]


def _scores(q: Tensor, pool: CacheLayer, runs: list[tuple[int, int, int]], longest: int) -> Tensor:
    """q [S, G, n, D] with its slots' keys -> [S, G, n, longest]; 0 behind a run's end."""
    if len(runs) == 1:
        return q @ pool.data[: len(q), :, :longest].transpose(-1, -2)
    scores = q.new_zeros(*q.shape[:3], longest)
    for start, end, length in runs:
        keys = pool.data[start:end, :, :length]
        scores[start:end, ..., :length] = q[start:end] @ keys.transpose(-1, -2)
    return scores


def _gathered(weights: Tensor, pool: CacheLayer, runs: list[tuple[int, int, int]]) -> Tensor:
    """weights [S, G, n, L] over the kept values of their slots -> [S, G, n, D]."""
    parts = [
        weights[start:end, ..., :length] @ pool.data[start:end, :, :length]
        for start, end, length in runs
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def kept_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    kept: KvCache | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query [B, H, T, D], key and value [B, G, T, D] -> [B, T, H, D]."""
    unknown = {n for n, v in others.items() if v is not None and n not in IRRELEVANT}
    if kept is None or attention_mask is not None or dropout or unknown:
        raise NotImplementedError(
            f"{type(module).__name__} asks its attention for something that kept keys do not have: "
            f"mask {attention_mask is not None}, dropout {dropout}, "
            f"{', '.join(sorted(unknown)) or 'nothing else'}"
        )
    compute = kept.attend_tokens if kept.decoding else kept.attend_prompts
    layer: Any = module.layer_idx
    out = compute(layer, query, key, value, scaling, sliding_window or None, softcap, s_aux)
    return out.transpose(1, 2), None


AttentionInterface.register(NAME, kept_attention)
