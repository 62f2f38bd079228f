"""How a scorer's rewards and the raters' choices go together: numbers in, figures out.

A reward model's r, like a policy's implicit one, says in Bradley and Terry's model that the first
of two answers is preferred with probability σ(r_1 - r_2). Pure; knows no database.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from training.stats.win_rates import WinRate

EDGES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
MOST_TAGS = 8
TAG_FROM = 10


@dataclasses.dataclass(frozen=True)
class ScoredPair:
    """A settled pair: ``margin`` is the chosen answer's reward less the rejected one's."""

    margin: float
    is_held_out: bool
    is_trained_on: bool
    tags: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class CalibrationStep:
    """Pairs of which the scorer was about equally sure.

    ``expected`` is the mean of its probabilities for the answer that it prefers, ``share`` how
    often raters preferred that one.
    """

    low: float
    high: float
    expected: float | None
    share: WinRate


@dataclasses.dataclass(frozen=True)
class RewardAgreement:
    """All figures of a scorer over settled pairs."""

    everywhere: WinRate
    held_out: WinRate
    trained_on: WinRate
    neither: WinRate
    tags: Sequence[tuple[str, WinRate]]
    steps: Sequence[CalibrationStep]
    """Over held-out pairs where there are some, else over all."""
    steps_held_out: bool
    surprise: float | None
    """The mean of -log of the probability that the scorer gave to what raters chose, over the
    same pairs; ln 2 is a coin's."""
    off_by: float | None
    """Expected calibration error (Naeini et al. 2015): how far ``expected`` is from ``share``, on
    average over pairs."""


def agreement(pairs: Sequence[ScoredPair]) -> RewardAgreement:
    """The figures of ``pairs``."""
    held_out = [pair for pair in pairs if pair.is_held_out]
    measured = held_out or pairs
    margins = [pair.margin for pair in measured]
    steps = calibration(margins)
    counted = Counter(tag for pair in pairs for tag in set(pair.tags))
    return RewardAgreement(
        everywhere=right(pair.margin for pair in pairs),
        held_out=right(pair.margin for pair in held_out),
        trained_on=right(pair.margin for pair in pairs if pair.is_trained_on),
        neither=right(
            pair.margin for pair in pairs if not pair.is_trained_on and not pair.is_held_out
        ),
        tags=[
            (tag, right(pair.margin for pair in pairs if tag in pair.tags))
            for tag, count in counted.most_common(MOST_TAGS)
            if count >= TAG_FROM
        ],
        steps=steps,
        steps_held_out=bool(held_out),
        surprise=float(np.logaddexp(0, -np.array(margins)).mean()) if margins else None,
        off_by=_off_by(steps),
    )


def right(margins: Iterable[float]) -> WinRate:
    """How often the chosen answer has the higher reward; equal ones are told apart from both."""
    signs = Counter(int(np.sign(margin)) for margin in margins)
    return WinRate(wins=signs[1], losses=signs[-1], undecided=signs[0])


def calibration(margins: Sequence[float]) -> list[CalibrationStep]:
    """Pairs by how sure the scorer was of either answer. Equal rewards say nothing."""
    values = np.array([margin for margin in margins if margin], dtype=float)
    sure = 1 / (1 + np.exp(-np.minimum(np.abs(values), 700)))
    steps = []
    for low, high in pairwise(EDGES):
        inside = (sure >= low) & ((sure < high) | (high == EDGES[-1]))
        own = values[inside]
        wins = int((own > 0).sum())
        expected = float(sure[inside].mean()) if len(own) else None
        steps.append(CalibrationStep(low, high, expected, WinRate(wins, len(own) - wins)))
    return steps


def chance(margin: float) -> float:
    """σ(margin): the probability that the first answer is preferred."""
    return 1 / (1 + math.exp(-margin)) if margin > -700 else 0.0


def _off_by(steps: Sequence[CalibrationStep]) -> float | None:
    total = sum(step.share.decided for step in steps)
    gaps = [
        step.share.decided * abs(step.expected - step.share.value)
        for step in steps
        if step.expected is not None and step.share.value is not None
    ]
    return sum(gaps) / total if total else None
