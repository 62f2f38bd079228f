"""Every figure of a report, from rows."""

from __future__ import annotations

import pytest

from training.exports.report import Before, agreement, report_of
from training.exports.side_by_side import style_of
from training.stats.win_rates import WinRate

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("votes", "same", "different"),
    [
        ([], 0, 0),
        ([[1]], 0, 0),
        ([[2]], 1, 0),
        ([[1, 1]], 0, 1),
        ([[2, 1]], 1, 2),
        ([[3], [1, 1, 1]], 3, 3),
    ],
)
def test_agreement_is_over_pairs_of_verdicts_on_the_same_comparison(votes, same, different):
    assert agreement(votes) == WinRate(same, different)


def test_shares_have_their_n_and_interval(answered):
    found = report_of(answered).accuracy
    assert found is not None
    assert found.rewarded == WinRate(8, 2)
    assert (found.ranked, found.ranked_at_start) == (WinRate(6, 4), WinRate(5, 5))
    assert found.ranked_by_reference == WinRate(5, 5)
    low, high = found.rewarded.interval or (0, 0)
    assert 0.45 < low < 0.5 < 0.94 < high < 0.95


def test_loss_margins_and_cost(answered, settings):
    settings.PRICE_PER_HOUR = 4.0
    told = report_of(answered)
    assert told.loss == Before(0.693, 0.512)
    assert told.margins[0] == ("5", -0.25)
    assert [name for name, _value in told.margins] == ["5", "25", "50", "75", "95"]
    assert told.cost.device_seconds == pytest.approx(8 + 2 + 2)
    assert (told.cost.pairs, told.cost.tokens) == (16, 1000)
    assert told.cost.tokens_per_second == pytest.approx(100)
    assert told.cost.price == pytest.approx(0.1)


def test_without_a_price_there_is_none(answered):
    assert report_of(answered).cost.price is None


def test_raters_are_counted_and_what_is_taken_back_is_not(answered, cast):
    from annotate.models import Membership
    from annotate.people.members import leave

    told = report_of(answered).raters
    assert (told.raters, told.judgements, told.agreement) == (2, 6, WinRate(3, 0))
    gone = Membership.objects.get(user=cast.colleague)
    leave(membership=gone, take_judgements=True)
    told = report_of(answered).raters
    assert told.raters <= 1
    assert told.agreement.decided == 0


def test_the_manner_is_measured_before_and_now(answered):
    before, now = report_of(answered).manners
    assert (before.policy, before.answers, now.policy, now.answers) == ("base", 4, "round-1", 4)
    assert before.looping == WinRate(3, 1)
    assert now.looping == WinRate(0, 4)
    assert before.length > now.length
    assert now.length_error == pytest.approx(0)


def test_samples_stand_beside_the_starts(answered):
    rows = report_of(answered).samples
    assert [row["now"].text for row in rows] == [f"Now {number}." for number in range(4)]
    assert all(row["before"].text.startswith("Before") for row in rows)


def test_one_answer_has_no_interval():
    one = style_of("x", [("Hello.", "length")])
    assert one is not None
    assert (one.length, one.length_error, one.cut_off) == (6, None, WinRate(1, 0))


def test_a_round_from_before_the_counts_still_has_its_accuracy(new_round):
    told = report_of(new_round(result={"device": "cpu"}))
    assert told.accuracy is not None
    assert told.accuracy.rewarded == WinRate(8, 2)
    assert told.accuracy.ranked is None
    assert told.margins == []
