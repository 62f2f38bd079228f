"""From a model's scores to the distribution that is drawn from.

The same functions, in the same order, as transformers' logits processors (which are the yardstick
in the tests): repetition penalty (Keskar et al. 2019), temperature, top-k (Fan et al. 2018), top-p
(Holtzman et al. 2020), min-p (Nguyen et al. 2024). Written for speed: no vocabulary is sorted
where a part of it will do, and a row's padding is no word that it has said. Knows nothing of
models.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.engine.config import Sampling

LIKELIEST = 256  # top-p first looks among this many; only rows that need more are sorted whole
NEVER = float("-inf")


class Shaper:
    """What a job's sampling settings do to scores. ``temperature`` 0 keeps only the penalty."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.remembers = sampling.repetition_penalty != 1

    def fresh(self, rows: int, vocabulary: int, device: torch.device) -> Tensor:
        """A memory [rows, V] of what each row holds: nothing yet."""
        return torch.zeros(rows, vocabulary, dtype=torch.bool, device=device)

    def note(self, row: Tensor, tokens: Sequence[int]) -> None:
        """Let ``row`` [V] of that memory hold exactly ``tokens``."""
        row.zero_()
        index = torch.tensor(list(tokens), dtype=torch.long, device=row.device)
        row[index[index < len(row)]] = True

    def shape(self, scores: Tensor, seen: Tensor | None) -> Tensor:
        """``scores`` [B, V] in fp32, shaped; ``seen`` [B, V] is needed where ``remembers``."""
        asked = self.sampling
        if self.remembers:
            if seen is None:
                raise ValueError("the repetition penalty needs to know what was said")
            scores = penalised(scores, seen, asked.repetition_penalty)
        if asked.temperature == 0:
            return scores
        if asked.temperature != 1:
            scores = scores / asked.temperature
        if asked.top_k:
            scores = top_k(scores, asked.top_k)
        if asked.top_p < 1:
            scores = top_p(scores, asked.top_p)
        if asked.min_p > 0:
            scores = min_p(scores, asked.min_p)
        return scores


def penalised(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Scores of what was ``seen`` divided by ``penalty`` where positive, else multiplied."""
    lower = torch.where(scores < 0, scores * penalty, scores / penalty)
    return torch.where(seen, lower, scores)


def top_k(scores: Tensor, k: int) -> Tensor:
    """Only the ``k`` highest scores of each row, and whatever equals the last of them."""
    if k >= scores.shape[-1]:
        return scores
    last = scores.topk(k, -1).values[:, -1:]
    return scores.masked_fill(scores < last, NEVER)


def top_p(scores: Tensor, p: float) -> Tensor:
    """Only the likeliest tokens: those before which less than ``p`` has been gathered."""
    share = torch.softmax(scores, -1)
    least = torch.empty_like(share[:, :1])
    some = min(LIKELIEST, share.shape[-1])
    best = share.topk(some, -1).values
    enough = best.sum(-1) >= p
    least[enough] = _least(best[enough], p)
    if not bool(enough.all()):
        least[~enough] = _least(share[~enough].sort(-1, descending=True).values, p)
    return scores.masked_fill(share < least, NEVER)


def min_p(scores: Tensor, p: float) -> Tensor:
    """Only tokens at least ``p`` times as likely as the likeliest."""
    share = torch.softmax(scores, -1)
    return scores.masked_fill(share < p * share.amax(-1, keepdim=True), NEVER)


def _least(falling: Tensor, p: float) -> Tensor:
    """The smallest share kept [B, 1] of shares that fall along each row."""
    before = falling.cumsum(-1) - falling
    count = (before < p).sum(-1, keepdim=True).clamp(min=1)
    return falling.gather(-1, count - 1)
