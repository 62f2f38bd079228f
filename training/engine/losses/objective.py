"""What a run minimises, and what it reports, from the log-probabilities of a micro-batch.

The loss of a step is the sum of its micro-batches' ``loss`` divided by the step's ``share``,
so how a step is split never matters. A pair's weight scales its own pull, whatever stands
beside it: the divisor counts pairs, not weights. Knows nothing of models or optimizers.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from training.engine.config import DpoJob
from training.engine.data.chat import Tree
from training.engine.losses.preference import LOSSES, LossSettings, PairLogps, sft_term
from training.engine.runtime.transfer import doubles


@dataclasses.dataclass
class Terms:
    """A micro-batch's share of a step: the loss to differentiate, and sums to report.

    ``sums`` are detached scalars; divided by ``count`` (summed over micro-batches) each is a
    metric. The loss itself is divided by the objective's ``share``.
    """

    loss: Tensor
    sums: dict[str, Tensor]
    count: int
    pairs: Tensor | None = None
    """[M, 6]: what ``held_out.PairRow`` says of every pair, where there are pairs."""


class Objective(Protocol):
    """``logp`` and ``reference`` have shape [S]: the trees' branches one after another."""

    needs_reference: bool

    def share(self, trees: list[Tree]) -> float:
        """What the summed loss of these trees is divided by."""
        ...

    def terms(self, logp: Tensor, reference: Tensor | None, trees: list[Tree]) -> Terms: ...


def branch_lengths(trees: list[Tree], device: torch.device) -> Tensor:
    """Tokens of every branch, [S]."""
    return doubles([len(branch) for tree in trees for branch in tree.branches], device)


def weights_of(trees: list[Tree], device: torch.device) -> Tensor:
    """Weights of the trees, [M]."""
    return doubles([tree.weight for tree in trees], device)


class Dpo:
    """The mean over pairs of weight × (preference loss + sft_weight × SFT term)."""

    needs_reference = True

    def __init__(self, job: DpoJob) -> None:
        self.loss = LOSSES[job.loss]
        self.settings = LossSettings(
            beta=job.beta,
            label_smoothing=job.label_smoothing,
            dpop_lambda=job.dpop_lambda,
            length_alpha=job.length_alpha,
        )
        self.sft_weight = job.sft_weight

    def share(self, trees: list[Tree]) -> float:
        return float(len(trees))

    def terms(self, logp: Tensor, reference: Tensor | None, trees: list[Tree]) -> Terms:
        if reference is None:
            raise ValueError("DPO needs reference log-probabilities")
        tokens = branch_lengths(trees, logp.device)
        pair = PairLogps(
            chosen=logp[0::2],
            rejected=logp[1::2],
            ref_chosen=reference[0::2],
            ref_rejected=reference[1::2],
            chosen_tokens=tokens[0::2],
            rejected_tokens=tokens[1::2],
        )
        losses = self.loss(pair, self.settings)
        if self.sft_weight:
            losses = losses + self.sft_weight * sft_term(pair)
        loss = (weights_of(trees, logp.device) * losses).sum()
        with torch.no_grad():
            chosen = self.settings.beta * pair.chosen_ratio
            rejected = self.settings.beta * pair.rejected_ratio
            sums = {
                "reward_chosen": chosen.sum(),
                "reward_rejected": rejected.sum(),
                "reward_margin": (chosen - rejected).sum(),
                # Equal rewards (every pair at step 0) are half right, not wrong.
                "reward_accuracy": _right(chosen, rejected).sum(),
                # Without the reference taken off: does it find the chosen answer likelier?
                "ranking_accuracy": _right(pair.chosen, pair.rejected).sum(),
                "reference_ranking_accuracy": _right(pair.ref_chosen, pair.ref_rejected).sum(),
                "logp_chosen": pair.chosen.sum(),
                "logp_rejected": pair.rejected.sum(),
                "logp_reference_chosen": pair.ref_chosen.sum(),
                "logp_reference_rejected": pair.ref_rejected.sum(),
            }
            rows = torch.stack(
                [
                    pair.chosen,
                    pair.rejected,
                    pair.ref_chosen,
                    pair.ref_rejected,
                    chosen,
                    rejected,
                ],
                dim=1,
            ).detach()
        return Terms(loss, sums, len(trees), rows)


def _right(chosen: Tensor, rejected: Tensor) -> Tensor:
    """1 where the first is greater, 0 where it is less, a half where they are equal."""
    return 0.5 + 0.5 * torch.sign(chosen - rejected)


class Sft:
    """Weighted negative log-likelihood of the only branch, the mean over a step's tokens."""

    needs_reference = False

    def share(self, trees: list[Tree]) -> float:
        return float(sum(len(tree.branches[0]) for tree in trees))

    def terms(self, logp: Tensor, reference: Tensor | None, trees: list[Tree]) -> Terms:  # noqa: ARG002
        loss = -(weights_of(trees, logp.device) * logp).sum()
        return Terms(loss, {"logp_chosen": logp.detach().sum()}, len(trees))
