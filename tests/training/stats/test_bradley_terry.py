"""Strengths estimated from votes whose true strengths are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.rank.data import (
    LENGTH,
    SIDE,
    TIE,
    biased_chances,
    cast_votes,
    corrected,
    make_world,
    without_favourites,
)
from training.stats.bradley_terry import Votes, fit, inverse_propensity, linked, win_chance


def votes_of(*rows: tuple[int, int, int], raters: int = 10) -> Votes:
    """Votes from (a, b, outcome) rows: alternating sides, equal lengths, one prompt each."""
    a, b, outcome = np.array(rows).T
    count = np.arange(len(rows))
    left = np.where(count % 2, -1.0, 1.0)
    return Votes(
        a, b, outcome, left, np.zeros(len(rows)), count % raters, count, np.ones(len(rows))
    )


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(7)
    world = make_world(rng)
    votes, cell = cast_votes(world, biased_chances(world, rng), rng, votes=20_000)
    return world, votes, cell


def test_strengths_side_length_and_ties_are_found_again(drawn):
    world, votes, _ = drawn
    fitted = fit(votes, world.policies)
    truth = world.strengths[0] - world.strengths[0].mean()
    strengths = [fitted.strength(policy) for policy in range(world.policies)]
    assert np.allclose([strength.value for strength in strengths], truth, atol=0.12)
    assert all(
        strength.low < value < strength.high
        for strength, value in zip(strengths, truth, strict=True)
    )
    assert fitted.side.value == pytest.approx(SIDE, abs=0.12)
    assert fitted.length.value == pytest.approx(LENGTH, abs=0.15)
    assert fitted.tie == pytest.approx(TIE, abs=0.05)


def test_without_control_the_wordy_are_overrated(drawn):
    world, votes, _ = drawn
    truth = world.strengths[0] - world.strengths[0].mean()

    def error(fitted):
        return np.array([fitted.strength(policy).value for policy in range(6)]) - truth

    wordiness = world.wordiness - world.wordiness.mean()
    assert error(fit(votes, 6, control_length=False)) @ wordiness > 0.1
    assert abs(error(fit(votes, 6)) @ wordiness) < 0.05


def test_strategies_with_favourites_are_corrected():
    rng = np.random.default_rng(3)
    world = make_world(rng, by_stratum=0.8)
    votes, cell = cast_votes(world, biased_chances(world, rng), rng, votes=20_000)
    truth = without_favourites(world)

    def error(fitted):
        return max(abs(fitted.strength(policy).value - truth[policy]) for policy in range(6))

    assert error(fit(votes, 6)) > 0.25
    assert error(fit(corrected(votes, cell), 6)) < 0.15


def test_policies_differ_by_the_same_against_each_other_as_against_the_mean(drawn):
    world, votes, _ = drawn
    fitted = fit(votes, world.policies)
    difference = fitted.strength(2).value - fitted.strength(4).value
    assert fitted.strength(2, against=4).value == pytest.approx(difference)
    assert fitted.strength(2, against=2).low == fitted.strength(2, against=2).high == 0
    assert sum(fitted.strength(policy).value for policy in range(6)) == pytest.approx(0)


def test_votes_told_the_other_way_round_say_the_same(drawn):
    _world, votes, _ = drawn
    turned = dataclasses.replace(
        votes,
        a=votes.b,
        b=votes.a,
        outcome=-votes.outcome,
        left=-votes.left,
        longer=-votes.longer,
    )
    first, second = fit(votes, 6), fit(turned, 6)
    assert np.allclose(first.values, second.values, atol=1e-6)
    assert np.allclose(first.sandwich, second.sandwich, atol=1e-6)


def test_twice_the_same_votes_are_no_surer_where_the_raters_are_the_same(drawn):
    _world, votes, _ = drawn
    once = votes.where(np.arange(len(votes)) < 4000)
    twice = Votes(
        *(np.concatenate([getattr(once, column.name)] * 2) for column in dataclasses.fields(once))
    )
    width = [
        fitted.strength(0).high - fitted.strength(0).low for fitted in (fit(once, 6), fit(twice, 6))
    ]
    assert width[1] == pytest.approx(width[0], rel=0.02)


def test_a_weight_of_two_is_two_votes():
    rows = [(0, 1, 1), (0, 1, -1), (1, 2, 1), (0, 2, 1), (2, 1, 0), (2, 0, 1)] * 5
    votes = votes_of(*rows, raters=30)
    count = np.arange(len(rows))
    heavy = dataclasses.replace(votes, weight=np.where(count < 6, 2.0, 1.0))
    doubled = votes.where(np.concatenate([count, count[:6]]))
    assert np.allclose(fit(heavy, 3).values, fit(doubled, 3).values, atol=0.02)


def test_the_sandwich_is_that_of_statsmodels_where_nothing_is_weighted(drawn):
    """With one row per vote (almost no tie band), clustered by rater only, without corrections."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    from training.stats.bradley_terry import _meat

    _world, votes, _ = drawn
    rows = np.column_stack([votes.left, votes.longer])
    won = (votes.outcome > 0).astype(float)
    both = np.column_stack([votes.rater, votes.prompt])
    for clusters in ((votes.rater,), (votes.rater, votes.prompt)):
        groups = both if len(clusters) == 2 else votes.rater
        theirs = GLM(won, rows, family=Binomial()).fit(
            cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
        )
        chance = theirs.fittedvalues
        bread = np.linalg.inv((rows * (chance * (1 - chance))[:, None]).T @ rows)
        ours = bread @ _meat(rows * (won - chance)[:, None], *clusters) @ bread
        assert np.allclose(ours, theirs.cov_params(), rtol=1e-6)


@pytest.mark.parametrize("wins", [1, 3, 30])
def test_who_won_everything_is_ahead_by_something_finite_and_unsure(wins):
    fitted = fit(votes_of(*[(0, 1, 1)] * wins), 2)
    ahead = fitted.strength(0, against=1)
    assert 0 < ahead.value < 12
    assert ahead.high - ahead.low > 1.5
    assert (ahead.low > 0) == (wins == 30)


def test_few_raters_are_no_clusters():
    rows = [(0, 1, 1), (0, 1, -1), (0, 1, 0)] * 20
    assert fit(votes_of(*rows, raters=10), 2).clustered_by_rater
    assert not fit(votes_of(*rows, raters=3), 2).clustered_by_rater


def test_every_cell_comes_to_count_the_same():
    cell = np.array([0] * 30 + [1] * 10 + [2] * 20)
    weights = inverse_propensity(cell)
    assert weights.mean() == pytest.approx(1)
    sums = np.bincount(cell, weights)
    assert np.allclose(sums, sums[0])
    wanted = inverse_propensity(cell, np.array([2.0, 1.0, 1.0]))
    sums = np.bincount(cell, wanted)
    assert np.allclose(sums / sums[1], [2, 1, 1])


def test_a_cell_that_was_hardly_served_does_not_decide_everything():
    weights = inverse_propensity(np.array([0] * 1000 + [1]))
    assert weights[-1] / weights[0] == pytest.approx(10)


def test_groups_that_never_met_are_told_apart():
    assert linked([0, 1, 5, 7], [1, 2, 6, 7]) == [{0, 1, 2}, {5, 6}, {7}]
    assert linked([0, 2, 1], [1, 3, 2]) == [{0, 1, 2, 3}]
    assert linked([], []) == []


@pytest.mark.parametrize(
    ("difference", "tie", "chance"), [(0, 0.6, 0.5), (np.log(3), 0, 0.75), (-np.log(3), 0, 0.25)]
)
def test_the_chance_to_win_what_is_decided(difference, tie, chance):
    assert win_chance(difference, tie) == pytest.approx(chance)
