"""The betting test: values by hand, and its error rates when it is checked continuously."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest

from training.stats.sequential_test import STAKES, flipped, log_capital, lower_bound, upper_bound


def test_nothing_seen_says_nothing():
    assert log_capital({}, 0.5) == pytest.approx(0)
    assert lower_bound({}) == 0
    assert upper_bound({}) == 1


def test_capital_by_hand():
    """One win against 1/2 multiplies by 1 + stake, a loss by 1 - stake, a tie by 1."""
    won = sum(1 + stake for stake in STAKES) / len(STAKES)
    both = sum((1 + stake) * (1 - stake) for stake in STAKES) / len(STAKES)
    assert log_capital({1.0: 1}, 0.5) == pytest.approx(math.log(won))
    assert log_capital({1.0: 1, 0.0: 1}, 0.5) == pytest.approx(math.log(both))
    assert log_capital({0.5: 99}, 0.5) == pytest.approx(0)


def test_capital_never_grows_in_expectation_where_the_claim_is_true():
    """Over all 2^8 outcomes of eight tosses of a fair coin, the mean capital is 1."""
    total = sum(
        math.comb(8, wins) * math.exp(log_capital({1.0: wins, 0.0: 8 - wins}, 0.5))
        for wins in range(9)
    )
    assert total / 2**8 == pytest.approx(1)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_bounds_hold_the_share_between_them(share):
    tally = {1.0: round(200 * share), 0.0: round(200 * (1 - share))}
    low, high = lower_bound(tally), upper_bound(tally)
    assert low < share or share == 0
    assert high > share or share == 1
    assert high - low < 0.35
    assert upper_bound(flipped(tally)) == pytest.approx(1 - low, abs=1e-3)


def test_more_of_the_same_is_surer():
    few, many = {1.0: 12, 0.0: 8}, {1.0: 120, 0.0: 80}
    assert lower_bound(few) < lower_bound(many) < 0.6 < upper_bound(many) < upper_bound(few)


@pytest.mark.parametrize("mean", [0.3, 0.5, 0.7])
def test_who_looks_after_every_observation_is_wrong_one_time_in_twenty_at_most(mean):
    """400 streams of 200, drawn with a fixed seed: 5 % of them plus three standard errors."""
    wrong = 0
    for seed in range(400):
        random, tally = Random(seed), Counter()
        for _ in range(200):
            tally[1.0 if random.random() < mean else 0.0] += 1
            if log_capital(tally, mean) >= math.log(20):
                wrong += 1
                break
    assert wrong / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert wrong > 0  # otherwise the test would show nothing
