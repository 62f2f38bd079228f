"""Steps, bins, milestones and the learning rate: pure functions, by table."""

from __future__ import annotations

from itertools import chain

import pytest

from training.engine.forward.plan import learning_rate_factor, milestones, plan_padded, plan_steps


def test_an_epoch_sees_every_example_once() -> None:
    steps = plan_steps(10, 4, 1, seed=3)
    assert [len(step) for step in steps] == [4, 4, 2]
    assert sorted(chain.from_iterable(steps)) == list(range(10))


def test_epochs_differ_in_order_and_seeds_repeat() -> None:
    steps = plan_steps(10, 10, 2, seed=3)
    assert steps[0] != steps[1]
    assert steps == plan_steps(10, 10, 2, seed=3)
    assert steps != plan_steps(10, 10, 2, seed=4)


@pytest.mark.parametrize(("epochs", "steps"), [(0.01, 1), (0.5, 2), (1.0, 3), (1.5, 5)])
def test_a_fraction_of_an_epoch_is_rounded_up(epochs: float, steps: int) -> None:
    assert len(plan_steps(10, 4, epochs, seed=0)) == steps


def test_padded_bins_hold_every_tree_within_the_budget() -> None:
    longest, rows = [5, 9, 3, 30, 7, 9], [2, 2, 2, 2, 2, 2]
    bins = plan_padded(longest, rows, 40)
    assert sorted(chain.from_iterable(bins)) == list(range(6))
    sizes = [max(longest[i] for i in b) * sum(rows[i] for i in b) for b in bins]
    assert [size for size in sizes if size > 40] == [60]  # the tree of 30 alone is above it
    assert [3] in bins


@pytest.mark.parametrize(
    ("total", "fraction", "expected"),
    [(10, 0.25, {3, 5, 8, 10}), (3, 0.1, {1, 2, 3}), (7, 1.0, {7}), (1, 0.5, {1})],
)
def test_milestones(total: int, fraction: float, expected: set[int]) -> None:
    assert milestones(total, fraction) == expected


def test_no_step_is_taken_with_a_learning_rate_of_zero() -> None:
    factors = [learning_rate_factor(step, 10, 2) for step in range(10)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert factors[-1] == pytest.approx(1 / 8)
    assert factors[2:] == sorted(factors[2:], reverse=True)
