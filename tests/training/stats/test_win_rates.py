import pytest

from training.stats.win_rates import (
    HeadToHeadCount,
    WinRate,
    in_percent,
    interval_in_percent,
    win_rate_of,
)

OLD, NEW, OTHER = 1, 2, 3
MET = [
    HeadToHeadCount(OLD, NEW, True, "b", 6),
    HeadToHeadCount(NEW, OLD, True, "a", 1),
    HeadToHeadCount(OLD, NEW, True, "a", 2),
    HeadToHeadCount(OLD, NEW, False, "b", 10),
    HeadToHeadCount(OLD, NEW, False, "tie", 4),
    HeadToHeadCount(OTHER, NEW, False, "both_bad", 1),
    HeadToHeadCount(OTHER, NEW, False, "a", 3),
    HeadToHeadCount(NEW, NEW, False, "a", 50),
]


@pytest.mark.parametrize(
    ("policy", "against", "held_out", "expected"),
    [
        (NEW, OLD, True, WinRate(7, 2)),
        (OLD, NEW, True, WinRate(2, 7)),
        (NEW, OLD, False, WinRate(17, 2, 4)),
        (NEW, None, False, WinRate(17, 5, 5)),
        (OTHER, None, True, WinRate(0, 0)),
    ],
)
def test_wins_are_counted_on_either_side(policy, against, held_out, expected):
    assert win_rate_of(policy, MET, against=against, held_out=held_out) == expected


def test_wilson_interval_of_seven_in_ten():
    # By hand: z = 1.95996, centre (0.7 + z²/20) / (1 + z²/10) = 0.64447,
    # half-width z / (1 + z²/10) · sqrt(0.7 · 0.3 / 10 + z²/400) = 0.24775.
    low, high = WinRate(7, 3).interval
    assert low == pytest.approx(0.39678, abs=1e-4)
    assert high == pytest.approx(0.89222, abs=1e-4)


def test_nothing_decided_has_no_share():
    nothing = WinRate(0, 0, 5)
    assert (nothing.value, nothing.interval, nothing.verdict) == (None, None, "open")
    assert (in_percent(nothing.value), interval_in_percent(nothing)) == ("–", "")


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(WinRate(70, 30), "won"), (WinRate(30, 70), "lost"), (WinRate(6, 4), "open")],
)
def test_only_a_whole_interval_on_one_side_is_a_verdict(share, verdict):
    assert share.verdict == verdict
