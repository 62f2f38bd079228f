"""Sampling in which a row's text depends on its own seed alone, not on its neighbours.

An exponential race (the same draw as Gumbel-max, Gumbel 1954): with independent standard
exponential E a token, the argmax of p / E is a draw from p. E is a function of (seed, step,
token), worked out for all rows and tokens at once, so a row needs no generator and no history,
and may change its place in a batch at any time. Knows nothing of models or text.

The function is a 32-bit mixing of xor, shift and multiplication (constants: C. Wellons,
hash-prospector, public domain), keyed by splitmix64 (Steele, Lea and Flood 2014) of seed and step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from training.engine.config import Sampling
from training.engine.generate.logits import Shaper

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # as signed 32-bit numbers
ROWS_AT_ONCE = 32  # on a CPU: this many rows of a small vocabulary stay in its cache


class Race:
    """Draws for rows of ``vocabulary`` probabilities."""

    def __init__(self, vocabulary: int, device: torch.device) -> None:
        self._tokens = _mixed(
            torch.arange(1, vocabulary + 1, dtype=torch.int32, device=device),
            0x5BD1E995,
            0x27D4EB2F,
        )

    def times(self, seeds: Sequence[int], steps: Sequence[int]) -> Tensor:
        """Standard exponential numbers [B, V]: ``seeds`` and ``steps`` say which."""
        device = self._tokens.device
        first, second = (torch.from_numpy(key).to(device) for key in _keys(seeds, steps))
        noise = torch.empty(len(seeds), len(self._tokens), device=device)
        some = ROWS_AT_ONCE if device.type == "cpu" else len(seeds)
        for start in range(0, len(seeds), some):
            part = slice(start, start + some)
            bits = _mixed(self._tokens, first[part, None], second[part, None])
            bits &= 0x7FFFFFFF
            # From (0, 1): finest near 0, where the winners are, and never 1.
            share = bits.to(torch.float32).add_(0.5).mul_(2.0**-31).clamp_(max=1 - 2.0**-24)
            torch.log1p(share.neg_(), out=noise[part])
        return noise.neg_()


def argmax(scores: Tensor) -> Tensor:
    """The index of each row's largest value [B]; numpy's is many times torch's speed on a CPU."""
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    return torch.from_numpy(scores.numpy().argmax(-1))


def draw(
    scores: Tensor, race: Race | None, seeds: Sequence[int], steps: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their log-probabilities [B] from shaped scores [B, V]; no race is greedy."""
    if race is None:
        taken = argmax(scores)
        chosen = scores.gather(-1, taken[:, None])[:, 0]
        return taken, chosen - torch.logsumexp(scores, -1)
    share = torch.softmax(scores, -1)
    taken = argmax(share / race.times(seeds, steps))
    return taken, share.gather(-1, taken[:, None])[:, 0].log()


class RowNoise(LogitsProcessor):  # type: ignore[misc]
    """The same draws inside ``generate``, which takes the argmax of what this returns.

    ``chosen`` holds, a step, the log-probability [B] of the token that the argmax will take,
    in the shaped distribution; for temperature 0 in the one without temperature. ``prompts`` are
    the rows' own tokens, without padding.
    """

    def __init__(
        self,
        sampling: Sampling,
        seeds: list[int],
        device: torch.device,
        prompts: list[list[int]] | None = None,
    ) -> None:
        self.shaper = Shaper(sampling)
        self.greedy = sampling.temperature == 0
        self.seeds, self.device = seeds, device
        self.prompts = prompts
        self.race: Race | None = None
        self.seen: Tensor | None = None
        self.chosen: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids`` [B, L] and ``scores`` [B, V] as ``generate`` hands them over."""
        scores = scores.float()
        step = len(self.chosen)
        if self.shaper.remembers:
            if self.seen is None:
                self.seen = self.shaper.fresh(len(self.seeds), scores.shape[-1], scores.device)
                for row, tokens in zip(self.seen, self.prompts or input_ids.tolist(), strict=True):
                    self.shaper.note(row, tokens)
            else:
                self.seen.scatter_(1, input_ids[:, -1:], True)
        scores = self.shaper.shape(scores, self.seen)
        if not self.greedy and self.race is None:
            self.race = Race(scores.shape[-1], scores.device)
        taken, logp = draw(scores, self.race, self.seeds, [step] * len(self.seeds))
        self.chosen.append(logp)
        return torch.zeros_like(scores).scatter_(1, taken[:, None], 1.0)


def _keys(seeds: Sequence[int], steps: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Two 32-bit keys [B] each, from splitmix64."""
    z = np.array([seed % 2**64 for seed in seeds], dtype=np.uint64)
    z = z + (np.asarray(steps, dtype=np.uint64) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    halves = z.view(np.int32).reshape(-1, 2)
    return halves[:, 0].copy(), halves[:, 1].copy()


def _mixed(tokens: Tensor, first: Tensor | int, second: Tensor | int) -> Tensor:
    """int32 ``tokens`` and keys, which broadcast, to int32 bits that look random."""
    x = tokens ^ first
    x *= FIRST
    y = x >> 15
    y &= 0x1FFFF  # the shift repeats the sign
    x ^= y
    x ^= second
    x *= SECOND
    torch.bitwise_right_shift(x, 16, out=y)
    y &= 0xFFFF
    x ^= y
    return x
