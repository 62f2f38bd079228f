"""How much a rater's votes weigh in the ranking, from the gold items that the rater met.

In the one-coin model (Dawid and Skene 1979 with one parameter a rater) somebody who is right with
probability p passes on 2p - 1 of the difference between two answers. Pure; knows no database.
"""

from __future__ import annotations

from collections.abc import Mapping

PRIOR = 8
"""As many imagined gold items at everybody's mean go beside a rater's own."""

LEAST, MOST = 0.1, 2.0


def weights_from_gold(met: Mapping[int, tuple[int, int]]) -> dict[int, float]:
    """Weights about 1 by rater, from (right, judged); nobody where no gold was judged.

    A rater who is absent has met none, and weighs 1.
    """
    judged = sum(of for _, of in met.values())
    if not judged:
        return {}
    mean = sum(right for right, _ in met.values()) / judged
    usual = 2 * mean - 1
    if usual <= 0:  # the gold is wrong, or everybody guesses: it tells nobody apart
        return {}
    return {
        rater: round(min(MOST, max(LEAST, (2 * _accuracy(right, of, mean) - 1) / usual)), 2)
        for rater, (right, of) in met.items()
        if of
    }


def _accuracy(right: int, of: int, mean: float) -> float:
    return (right + PRIOR * mean) / (of + PRIOR)
