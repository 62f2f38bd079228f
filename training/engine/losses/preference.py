r"""Preference losses: pure functions of sequence log-probabilities, one value a pair.

Write :math:`h = \log\frac{\pi(y_w|x)}{\pi_{ref}(y_w|x)} - \log\frac{\pi(y_l|x)}{\pi_{ref}(y_l|x)}`.
A new loss is one function and one row of ``LOSSES``. Knows nothing of models or batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclasses.dataclass(frozen=True)
class PairLogps:
    """Summed log-probabilities of M pairs, each tensor of shape [M], and lengths in tokens."""

    chosen: Tensor
    rejected: Tensor
    ref_chosen: Tensor
    ref_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor

    @property
    def chosen_ratio(self) -> Tensor:
        return self.chosen - self.ref_chosen

    @property
    def rejected_ratio(self) -> Tensor:
        return self.rejected - self.ref_rejected

    @property
    def h(self) -> Tensor:
        return self.chosen_ratio - self.rejected_ratio


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSettings:
    beta: float = 0.1
    label_smoothing: float = 0.0
    dpop_lambda: float = 5.0
    length_alpha: float = 0.01


def sigmoid(p: PairLogps, s: LossSettings) -> Tensor:
    r"""DPO (Rafailov et al. 2023, eq. 7): -log σ(β h).

    With label smoothing ε, cDPO (Mitchell 2023): -(1-ε) log σ(β h) - ε log σ(-β h).
    """
    logits = s.beta * p.h
    epsilon = s.label_smoothing
    return -(1 - epsilon) * logsigmoid(logits) - epsilon * logsigmoid(-logits)


def robust(p: PairLogps, s: LossSettings) -> Tensor:
    r"""Robust DPO (Chowdhury et al. 2024, eq. 12): unbiased where a share ε of labels is flipped.

    (-(1-ε) log σ(β h) + ε log σ(-β h)) / (1 - 2ε)
    """
    logits = s.beta * p.h
    epsilon = s.label_smoothing
    clean, flipped = -logsigmoid(logits), -logsigmoid(-logits)
    return ((1 - epsilon) * clean - epsilon * flipped) / (1 - 2 * epsilon)


def ipo(p: PairLogps, s: LossSettings) -> Tensor:
    r"""IPO (Azar et al. 2023, eq. 17, its τ is our β): (h̄ - 1/(2β))².

    h̄ is h with each completion's log-ratio divided by its length in tokens, as TRL does on the
    authors' advice, so that long completions do not dominate.
    """
    mean = p.chosen_ratio / p.chosen_tokens - p.rejected_ratio / p.rejected_tokens
    return (mean - 1 / (2 * s.beta)) ** 2


def hinge(p: PairLogps, s: LossSettings) -> Tensor:
    r"""SLiC's hinge with DPO's log-ratios (Liu et al. 2023, RSO): max(0, 1 - β h)."""
    return torch.relu(1 - s.beta * p.h)


def dpop(p: PairLogps, s: LossSettings) -> Tensor:
    r"""DPO-Positive (Pal et al. 2024, eq. 3): -log σ(β (h - λ max(0, log π_ref(y_w)/π(y_w)))).

    Keeps the chosen answer from becoming less likely than the reference has it.
    """
    penalty = torch.relu(-p.chosen_ratio)
    return -logsigmoid(s.beta * (p.h - s.dpop_lambda * penalty))


def length_regularised(p: PairLogps, s: LossSettings) -> Tensor:
    r"""R-DPO (Park et al. 2024, eq. 9): -log σ(β h + α(|y_w| - |y_l|)), lengths in tokens.

    A longer chosen answer then counts as already preferred in part, and is pushed less.
    """
    return -logsigmoid(s.beta * p.h + s.length_alpha * (p.chosen_tokens - p.rejected_tokens))


def sft_term(p: PairLogps) -> Tensor:
    r"""Negative log-likelihood of the chosen answer a token, -log π(y_w|x) / |y_w|."""
    return -p.chosen / p.chosen_tokens


LOSSES: dict[str, Callable[[PairLogps, LossSettings], Tensor]] = {
    "sigmoid": sigmoid,
    "robust": robust,
    "ipo": ipo,
    "hinge": hinge,
    "dpop": dpop,
    "length_regularised": length_regularised,
}
