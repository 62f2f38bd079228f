"""A test that stays valid however often one looks at it: betting on a bounded mean.

Observations x in [0, 1], each with the mean mu given what came before. Against the claim
mu <= m one bets the share theta of one's capital on x being above m:

    K_n(m) = mean over theta of prod_i (1 + theta * (x_i - m) / m)

If the claim is true, K never grows in expectation, so it ever reaches 1 / alpha with a chance of
alpha at most (Ville 1939): a test that stops when it does is wrong that often, no matter when you
looked. Against mu >= m the same is played with 1 - x and 1 - m. The means that neither game has
refuted are a confidence sequence (Waudby-Smith and Ramdas 2024, "Estimating means of bounded
random variables by betting", section 4). The order of the observations does not matter, so they
come as a tally: how often each value was seen. Pure functions; knows no policies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

VoteTally = Mapping[float, int]

STAKES = (0.1, 0.15, 0.2, 0.3, 0.5)
"""Shares of the capital. A candidate that wins 60 % of what is decided deserves 0.2."""
ALPHA = 0.05


def log_capital(tally: VoteTally, mean: float) -> float:
    """The logarithm of what betting against "the mean is at most ``mean``" has made of 1."""
    if mean <= 0:
        return math.inf if any(value > 0 for value in tally) else 0.0
    logs = [
        sum(count * math.log1p(stake * (x - mean) / mean) for x, count in tally.items())
        for stake in STAKES
    ]
    highest = max(logs)
    return highest + math.log(sum(math.exp(term - highest) for term in logs) / len(logs))


def flipped(tally: VoteTally) -> VoteTally:
    """The same seen from the other side: 1 - x for every x."""
    return {1 - value: count for value, count in tally.items()}


def lower_bound(tally: VoteTally, *, alpha: float = ALPHA) -> float:
    """The mean is above this, now and whenever one looks again, with a chance of 1 - alpha."""
    wanted = -math.log(alpha)
    low, high = 0.0, 1.0  # refuted up to ``low``, not at ``high``
    while high - low > 1e-4:
        middle = (low + high) / 2
        if log_capital(tally, middle) >= wanted:
            low = middle
        else:
            high = middle
    return low


def upper_bound(tally: VoteTally, *, alpha: float = ALPHA) -> float:
    """The mean is below this, now and whenever one looks again, with a chance of 1 - alpha."""
    return 1 - lower_bound(flipped(tally), alpha=alpha)
