"""Sampling in which a row's text depends on its own seed alone, not on its neighbours.

Gumbel-max (Gumbel 1954): the argmax of log p + G, with independent standard Gumbel noise G a
token, is a draw from p. Each row draws its noise from a generator of its own, so ``generate``
can take the argmax for all rows at once. Knows nothing of models or text.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .config import Sampling


class RowNoise(LogitsProcessor):  # type: ignore[misc]
    """Shape the distribution as asked, remember its log-probabilities, add each row's noise.

    ``chosen`` holds, a step, the log-probability [B] of the token that the argmax will take,
    in the shaped distribution; for temperature 0 in the model's own.
    """

    def __init__(self, sampling: Sampling, seeds: list[int], device: torch.device) -> None:
        self.greedy = sampling.temperature == 0
        self.shapers: list[LogitsProcessor] = []
        if not self.greedy:
            if sampling.temperature != 1:
                self.shapers.append(TemperatureLogitsWarper(float(sampling.temperature)))
            if sampling.top_k:
                self.shapers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self.shapers.append(TopPLogitsWarper(sampling.top_p))
        self.generators = [torch.Generator(device).manual_seed(seed % 2**63) for seed in seeds]
        self.chosen: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids`` [B, L] and ``scores`` [B, V] as ``generate`` hands them over."""
        scores = scores.float()
        for shape in self.shapers:
            scores = shape(input_ids, scores)
        logp = torch.log_softmax(scores, dim=-1)
        noisy = logp if self.greedy else logp + self._gumbel(logp)
        self.chosen.append(logp.gather(-1, noisy.argmax(-1, keepdim=True))[:, 0])
        return noisy

    def _gumbel(self, like: Tensor) -> Tensor:
        """-log E with E exponential is standard Gumbel; one row from each generator, [B, V]."""
        noise = torch.empty_like(like)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return -noise.log()
