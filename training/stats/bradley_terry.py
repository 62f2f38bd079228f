"""Strengths from votes: Bradley-Terry with ties (Rao and Kupper 1967), side and length controlled.

For a vote on a against b, with y in {a wins, tie, b wins},

    logit P(a wins)          = z - tau
    logit P(a wins or a tie) = z + tau
    z = strength_a - strength_b + side * s + length * l

where s = 1 if a stood on the left, -1 if on the right, and l is by how much a is the longer one,
as a share of both. The two lines are fitted at once as one logistic regression of two rows a vote
(statsmodels' GLM). The rows of one vote, of one rater and of one prompt depend on each other, so
the covariance is a sandwich clustered both ways (Cameron, Gelbach and Miller 2011). A strength
difference of ln(10) is 400 points.

Control for length and side follows the style-controlled arenas (Li, Angelopoulos and Chiang 2024),
the weights Horvitz and Thompson (1952). Knows no database; raters' and pairings' weights come in.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

CONFIDENCE = 0.95
POINTS = 400 / math.log(10)
PRIOR = 0.5
"""Of a row each way for every unknown: keeps a policy that won everything at a finite strength."""
FEW_CLUSTERS = 8
"""With fewer raters than this a sandwich over them would be too thin to trust."""
MOST_WEIGHT = 10.0
"""No meeting counts more than this many times the usual one, however rarely it was served."""


@dataclasses.dataclass(frozen=True)
class Votes:
    """One row a vote. ``a`` and ``b`` are policies as numbers from 0."""

    a: Indices
    b: Indices
    outcome: Indices
    """1: a won, 0: neither, -1: b won."""
    left: Floats
    """1: a stood on the left, -1: on the right."""
    longer: Floats
    """(length of a - length of b) / (length of both)."""
    rater: Indices
    prompt: Indices
    weight: Floats
    """The rater's weight over the chance with which the pairing chose this comparison."""

    def __len__(self) -> int:
        return len(self.a)

    def where(self, chosen: NDArray[np.bool_]) -> Votes:
        """The votes for which ``chosen`` holds."""
        return Votes(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))


@dataclasses.dataclass(frozen=True)
class Estimated:
    """A value and the interval that holds the true one 95 times in a hundred."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Fit:
    """What the votes say. ``names`` of the unknowns: each policy but the first, then the rest."""

    policies: int
    values: Floats
    sandwich: Floats
    from_model: Floats
    """The covariance if all votes were independent and the model true: never claim less."""
    quantile: float
    raters: int
    clustered_by_rater: bool
    has_length: bool

    def contrast(self, row: Floats) -> Estimated:
        """``row @ unknowns`` with its interval."""
        value = float(row @ self.values)
        variance = max(float(row @ self.sandwich @ row), float(row @ self.from_model @ row))
        margin = self.quantile * math.sqrt(variance)
        return Estimated(value, value - margin, value + margin)

    def strength(self, policy: int, *, against: int | None = None) -> Estimated:
        """A policy's strength over another's, or over the mean of all."""
        other = self._mean if against is None else self._row(against)
        return self.contrast(self._row(policy) - other)

    @property
    def side(self) -> Estimated:
        """What standing on the left is worth, in logits."""
        return self.contrast(self._unknown(self.policies - 1))

    @property
    def length(self) -> Estimated | None:
        """What being the only one with any length would be worth, in logits."""
        return self.contrast(self._unknown(self.policies)) if self.has_length else None

    @property
    def tie(self) -> float:
        """tau: half the width of the band of ties, in logits."""
        return float(self.values[-1])

    def _row(self, policy: int) -> Floats:
        return self._unknown(policy - 1) if policy else np.zeros(len(self.values))

    def _unknown(self, index: int) -> Floats:
        row = np.zeros(len(self.values))
        row[index] = 1.0
        return row

    @cached_property
    def _mean(self) -> Floats:
        row = np.zeros(len(self.values))
        row[: self.policies - 1] = 1 / self.policies
        return row


def fit(votes: Votes, policies: int, *, control_length: bool = True) -> Fit:
    """Strengths of ``policies`` policies (two at least), all of them linked by ``votes``."""
    from scipy.stats import t

    design = _design(votes, policies, control_length)
    unknowns = design.shape[1] + 1
    prior = _prior_rows(policies, unknowns)
    rows = np.vstack([_with_band(design, -1.0), _with_band(design, 1.0), prior, prior])
    won = np.concatenate(
        [votes.outcome > 0, votes.outcome >= 0, np.ones(len(prior)), np.zeros(len(prior))]
    ).astype(float)
    weight = votes.weight / votes.weight.mean()
    weights = np.concatenate([weight, weight, np.full(2 * len(prior), PRIOR)])
    values = _maximum(rows, won, weights)
    chance = 1 / (1 + np.exp(-(rows @ values)))
    bread = np.linalg.inv((rows * (weights * chance * (1 - chance))[:, None]).T @ rows)
    scores = rows * (weights * (won - chance))[:, None]
    of_votes = scores[: len(votes)] + scores[len(votes) : 2 * len(votes)]
    raters, prompts = (len(np.unique(ids)) for ids in (votes.rater, votes.prompt))
    by_rater = raters >= FEW_CLUSTERS
    meat = _meat(of_votes, votes.rater, votes.prompt) if by_rater else _meat(of_votes, votes.prompt)
    # Few clusters: the sandwich is scaled up, and Student's t takes the normal's place.
    clusters = max(3, min(raters, prompts) if by_rater else prompts)
    return Fit(
        policies=policies,
        values=values,
        sandwich=bread @ meat @ bread * clusters / (clusters - 1),
        from_model=bread @ _expected(rows, weights, chance, len(votes)) @ bread,
        quantile=float(t.ppf((1 + CONFIDENCE) / 2, clusters - 1)),
        raters=raters,
        clustered_by_rater=by_rater,
        has_length=control_length,
    )


def _design(votes: Votes, policies: int, control_length: bool) -> Floats:
    design = np.zeros((len(votes), policies + 1))
    every = np.arange(len(votes))
    design[every, votes.a] += 1.0
    design[every, votes.b] -= 1.0
    design[:, policies] = votes.left
    design = design[:, 1:]
    return np.column_stack([design, votes.longer]) if control_length else design


def _with_band(design: Floats, sign: float) -> Floats:
    return np.column_stack([design, np.full(len(design), sign)])


def _prior_rows(policies: int, unknowns: int) -> Floats:
    """Every policy against the mean of all, then every other unknown by itself."""
    rows = np.eye(unknowns + 1, unknowns, k=-1)
    rows[:policies, : policies - 1] -= 1 / policies
    return rows


def _maximum(rows: Floats, won: Floats, weights: Floats) -> Floats:
    # Slow to import, and only managers' pages need them.
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    return np.asarray(GLM(won, rows, family=Binomial(), freq_weights=weights).fit().params)


def _meat(scores: Floats, *clusters: Indices) -> Floats:
    """Sum over clusters of the outer products of their scores; of two ways, both less the overlap.

    statsmodels' own sandwich does not know weights that differ within a cluster.
    """
    if len(clusters) == 2:
        first, other = clusters
        overlap = first * (other.max() + 1) + other
        return _meat(scores, first) + _meat(scores, other) - _meat(scores, overlap)
    _, numbered = np.unique(clusters[0], return_inverse=True)
    sums = np.zeros((numbered.max() + 1, scores.shape[1]))
    np.add.at(sums, numbered, scores)
    return np.asarray(sums.T @ sums)


def _expected(rows: Floats, weights: Floats, chance: Floats, votes: int) -> Floats:
    """What the scores would vary by if votes were independent and the model true.

    The two rows of a vote have the covariance P(a wins) (1 - P(a wins or a tie)). The prior
    counts as what it stands for, so that no interval is narrower than it allows.
    """
    squared = np.concatenate([weights[: 2 * votes] ** 2, weights[2 * votes :]])
    narrow, wide = rows[:votes], rows[votes : 2 * votes]
    both = weights[:votes] ** 2 * chance[:votes] * (1 - chance[votes : 2 * votes])
    cross = (narrow * both[:, None]).T @ wide
    own = (rows * (squared * chance * (1 - chance))[:, None]).T @ rows
    return np.asarray(own + cross + cross.T)


# --- weights ---


def inverse_propensity(cell: Indices, wanted: Floats | None = None) -> Floats:
    """Weights under which every cell counts as ``wanted`` (equally, if not said), mean 1.

    A cell is what the pairing strategy chose by: a pair of policies, or that and a stratum of
    prompts. Its chance is estimated by its share of the votes; an estimate corrects even better
    than the chance itself (Hirano, Imbens and Ridder 2003). Weights are cut at MOST_WEIGHT times
    their median.
    """
    values, numbered, counts = np.unique(cell, return_inverse=True, return_counts=True)
    target = np.ones(len(values)) if wanted is None else wanted[values]
    weights = (target / counts)[numbered]
    weights = np.minimum(weights, MOST_WEIGHT * np.median(weights))
    return np.asarray(weights / weights.mean())


def linked(a: Sequence[int], b: Sequence[int]) -> list[set[int]]:
    """Groups of policies that comparisons link, however indirectly; the largest first."""
    groups: list[set[int]] = []
    for first, other in set(zip(a, b, strict=True)):
        touching = [group for group in groups if first in group or other in group]
        groups = [group for group in groups if group not in touching]
        groups.append(set().union({first, other}, *touching))
    return sorted(groups, key=lambda group: (-len(group), min(group)))


def win_chance(difference: float, tie: float) -> float:
    """Of the votes that are not ties, the share that goes to the one ahead by ``difference``."""
    win = 1 / (1 + math.exp(tie - difference))
    loss = 1 / (1 + math.exp(tie + difference))
    return win / (win + loss)
