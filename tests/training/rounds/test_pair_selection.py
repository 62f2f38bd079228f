"""Which pairs a round takes, and with which weight."""

from datetime import UTC, date, datetime, timedelta

import pytest

from training.rounds.pair_selection import (
    ALL,
    PairSelection,
    SelectablePair,
    choose,
    faded,
    rounds_since,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROUNDS = [NOW - 20 * DAY, NOW - 10 * DAY]  # when the rounds started
PAIRS = [
    SelectablePair(1, NOW - 30 * DAY, tags=["code"], agreement=0.6, policies=["base", "base"]),
    SelectablePair(2, NOW - 15 * DAY, tags=["maths"], policies=["base", "round-1"]),
    SelectablePair(3, NOW - 1 * DAY, tags=["code", "maths"], policies=["round-1", "round-2"]),
    SelectablePair(4, NOW - 30 * DAY, is_held_out=True, tags=["code"], policies=["base", "base"]),
]


def chosen(**wishes):
    return choose(PAIRS, PairSelection(**wishes), rounds_at=ROUNDS, now=NOW, seed=1)


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, {1: 1, 2: 1, 3: 1, 4: 1}),
        ({"half_life": 1}, {1: 0.25, 2: 0.5, 3: 1, 4: 1}),
        ({"half_life": 15, "half_life_unit": "days"}, {1: 0.25, 2: 0.5, 3: 0.954842, 4: 1}),
        ({"last_rounds": 1}, {3: 1, 4: 1}),
        ({"last_rounds": 2}, {2: 1, 3: 1, 4: 1}),
        ({"last_rounds": 1, "half_life": 1}, {3: 1, 4: 1}),
        ({"tags": ("maths",)}, {2: 1, 3: 1}),
        ({"min_agreement": 0.7}, {2: 1, 3: 1, 4: 1}),
        ({"policies": ("round-1",)}, {2: 1, 3: 1}),
        ({"since": date(2026, 11, 6)}, {2: 1, 3: 1}),
        ({"until": date(2026, 11, 6)}, {1: 1, 2: 1, 4: 1}),
    ],
)
def test_what_is_taken(wishes, expected):
    assert chosen(**wishes) == pytest.approx(expected)


def test_older_pairs_are_replayed_to_their_share_of_all():
    old = [SelectablePair(n, NOW - 30 * DAY) for n in range(100)]
    new = [SelectablePair(n, NOW - DAY) for n in range(100, 180)]
    wish = PairSelection(last_rounds=1, replay_share=0.2)

    def draw(seed):
        return set(choose([*old, *new], wish, rounds_at=ROUNDS, now=NOW, seed=seed))

    assert len(draw(1)) == 100  # the 80 new pairs are four fifths
    assert draw(1) == draw(1) != draw(2)


def test_what_a_row_keeps_is_what_was_asked():
    wish = PairSelection(half_life=2.0, tags=("code",), since=date(2026, 1, 2), replay_share=0.1)
    assert PairSelection.from_dict(wish.as_dict()) == wish
    assert ALL.as_dict() == {}


def test_ages():
    assert [rounds_since(moment, ROUNDS) for moment in (NOW, ROUNDS[1], ROUNDS[0] - DAY)] == [
        0,
        0,
        2,
    ]
    assert (faded(3, None), faded(2, 2), faded(-1, 2)) == (1, 0.5, 1)
