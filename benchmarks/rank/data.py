"""Votes whose truth is known: policies of given strengths, raters who lean to a side, pairings
that choose whom they let meet. The tests use it too."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from training.stats.bradley_terry import Floats, Indices, Votes, fit, inverse_propensity

STRATA = 3
SIDE = 0.25  # logits that the left is worth to the average rater
SIDE_SPREAD = 0.3  # and by how much raters differ in that
LENGTH = 0.8  # logits that being the only one with any length is worth
TIE = 0.6  # half the width of the band of ties: about a quarter of all votes
QUESTIONS = 800


@dataclasses.dataclass(frozen=True)
class World:
    """``strengths``: of each policy (column) on each stratum of the prompts (row)."""

    strengths: Floats
    wordiness: Floats
    meetings: Indices
    """Pairs of policies, one a row; a cell is a meeting on a stratum."""

    @property
    def policies(self) -> int:
        return self.strengths.shape[1]


def make_world(rng: np.random.Generator, *, policies: int = 6, by_stratum: float = 0.0) -> World:
    """Policies whose strengths differ by 0.6 logits, and by ``by_stratum`` more on each stratum."""
    own = rng.normal(0, 0.6, policies)
    strengths = own + by_stratum * rng.normal(0, 1, (STRATA, policies))
    meetings = np.array(list(itertools.combinations(range(policies), 2)))
    return World(strengths, rng.permutation(np.linspace(-0.3, 0.3, policies)), meetings)


def biased_chances(world: World, rng: np.random.Generator) -> Floats:
    """How often a pairing strategy that has favourites serves each cell.

    Policies of about the same strength meet far more often, as in active sampling; and on a
    stratum where the first of two is at its best, they meet up to eight times as often.
    """
    first, second = world.meetings.T
    near = 1 / (0.2 + np.abs(world.strengths.mean(0)[first] - world.strengths.mean(0)[second]))
    gap = world.strengths[:, first] - world.strengths[:, second]
    best = np.where(gap == gap.max(0), 8.0, 1.0) * rng.uniform(0.7, 1.3, gap.shape)
    chances = near * best
    return np.asarray(chances / chances.sum())


def cast_votes(
    world: World, chances: Floats, rng: np.random.Generator, *, votes: int, raters: int = 40
) -> tuple[Votes, Indices]:
    """``votes`` votes by ``raters`` raters of unequal diligence; and each vote's cell."""
    cell = rng.choice(chances.size, votes, p=chances.ravel())
    stratum, meeting = np.divmod(cell, len(world.meetings))
    pair = world.meetings[meeting]
    turned = rng.random(votes) < 0.5
    a = np.where(turned, pair[:, 1], pair[:, 0])
    b = np.where(turned, pair[:, 0], pair[:, 1])
    rater = rng.choice(raters, votes, p=rng.dirichlet(np.full(raters, 3.0)))
    leaning = SIDE + SIDE_SPREAD * rng.standard_normal(raters)
    left = rng.choice([-1.0, 1.0], votes)
    longer = world.wordiness[a] - world.wordiness[b] + 0.25 * rng.standard_normal(votes)
    longer = np.clip(longer, -0.95, 0.95)
    ahead = world.strengths[stratum, a] - world.strengths[stratum, b]
    felt = ahead + leaning[rater] * left + LENGTH * longer + rng.logistic(size=votes)
    outcome = np.where(felt > TIE, 1, np.where(felt < -TIE, -1, 0))
    prompt = stratum * QUESTIONS + rng.integers(0, QUESTIONS, votes)
    return Votes(a, b, outcome, left, longer, rater, prompt, np.ones(votes)), cell


def without_favourites(world: World) -> Floats:
    """The strengths that endlessly many votes say where every cell is as likely as every other.

    Where strengths differ by stratum, this is what a correction is to find. Nothing is drawn:
    every case there is counts by its chance.
    """
    leanings, leaning_chances = np.polynomial.hermite_e.hermegauss(5)
    lengths = norm.ppf((np.arange(15) + 0.5) / 15)
    cases = [
        np.ravel(one)
        for one in np.meshgrid(
            np.arange(STRATA),
            np.arange(len(world.meetings)),
            np.arange(len(leanings)),
            lengths,
            (-1.0, 1.0),
            (1, 0, -1),
            indexing="ij",
        )
    ]
    stratum, meeting, leaning, spread, left, outcome = cases
    a, b = world.meetings[meeting].T
    longer = np.clip(world.wordiness[a] - world.wordiness[b] + 0.25 * spread, -0.95, 0.95)
    ahead = world.strengths[stratum, a] - world.strengths[stratum, b]
    felt = ahead + (SIDE + SIDE_SPREAD * leanings[leaning]) * left + LENGTH * longer
    wins, losses = expit(felt - TIE), expit(-felt - TIE)
    chance = np.select([outcome > 0, outcome < 0], [wins, losses], 1 - wins - losses)
    everybody = np.arange(len(a))
    weight = chance * leaning_chances[leaning]
    votes = Votes(a, b, outcome, left, longer, everybody, everybody, weight)
    fitted = fit(votes, world.policies)
    return np.array([fitted.strength(one).value for one in range(world.policies)])


def corrected(votes: Votes, cell: Indices) -> Votes:
    """The same votes, weighted so that every cell counts equally."""
    return dataclasses.replace(votes, weight=inverse_propensity(cell))
