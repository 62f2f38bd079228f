r"""What a reward model minimises: the Bradley-Terry likelihood of the raters' choices.

:math:`-\log σ(r(x, y_w) - r(x, y_l))` (Ouyang et al. 2022, eq. 1, for one pair), with a margin that
grows with the pair's weight (Touvron et al. 2023, eq. 2), label smoothing, and a pull towards
rewards around 0 (Eisenstein et al. 2023). Knows nothing of models.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.engine.config import RewardJob
from training.engine.data.chat import Tree
from training.engine.losses.objective import Terms, weights_of


def bradley_terry(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | float = 0.0,
    label_smoothing: float = 0.0,
    centre: float = 0.0,
) -> Tensor:
    r"""Losses of M pairs from their rewards, each [M].

    With :math:`Δ = r_w - r_l - m`: -(1-ε) log σ(Δ) - ε log σ(-Δ) + c (r_w + r_l)².
    """
    logits = chosen - rejected - margin
    losses = -(1 - label_smoothing) * logsigmoid(logits) - label_smoothing * logsigmoid(-logits)
    return losses + centre * (chosen + rejected) ** 2 if centre else losses


class Reward:
    """The mean over pairs of weight × loss. What is called ``logp`` elsewhere are rewards here."""

    needs_reference = False

    def __init__(self, job: RewardJob) -> None:
        self.job = job

    def share(self, trees: list[Tree]) -> float:
        return float(len(trees))

    def terms(self, logp: Tensor, reference: Tensor | None, trees: list[Tree]) -> Terms:  # noqa: ARG002
        chosen, rejected = logp[0::2], logp[1::2]
        weights = weights_of(trees, logp.device)
        losses = bradley_terry(
            chosen,
            rejected,
            margin=self.job.margin * weights,
            label_smoothing=self.job.label_smoothing,
            centre=self.job.centre,
        )
        with torch.no_grad():
            margins = chosen - rejected
            sums = {
                "reward_chosen": chosen.sum(),
                "reward_rejected": rejected.sum(),
                "reward_margin": margins.sum(),
                # Equal rewards (every pair at step 0) are half right, not wrong.
                "reward_accuracy": (0.5 + 0.5 * torch.sign(margins)).sum(),
            }
        return Terms((weights * losses).sum(), sums, len(trees))
