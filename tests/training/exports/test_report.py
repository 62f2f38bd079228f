"""Every figure of a report, computed from rows."""

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
    accuracy = report_of(answered).accuracy
    assert accuracy is not None
    assert accuracy.rewarded == WinRate(8, 2)
    assert (accuracy.ranked, accuracy.ranked_at_start) == (WinRate(6, 4), WinRate(5, 5))
    assert accuracy.ranked_by_reference == WinRate(5, 5)
    low, high = accuracy.rewarded.interval or (0, 0)
    assert 0.45 < low < 0.5 < 0.94 < high < 0.95


def test_loss_margins_and_cost(answered, settings):
    settings.PRICE_PER_HOUR = 4.0
    report = report_of(answered)
    assert report.loss == Before(0.693, 0.512)
    assert report.margins[0] == ("5", -0.25)
    assert [name for name, _value in report.margins] == ["5", "25", "50", "75", "95"]
    assert report.cost.device_seconds == pytest.approx(8 + 2 + 2)
    assert (report.cost.pairs, report.cost.tokens) == (16, 1000)
    assert report.cost.tokens_per_second == pytest.approx(100)
    assert report.cost.price == pytest.approx(0.1)


def test_without_a_price_there_is_none(answered):
    assert report_of(answered).cost.price is None


def test_raters_are_counted_and_what_is_taken_back_is_not(answered, cast):
    from annotate.models import Membership
    from annotate.people.members import leave

    figures = report_of(answered).raters
    assert (figures.raters, figures.judgements, figures.agreement) == (2, 6, WinRate(3, 0))
    gone = Membership.objects.get(user=cast.colleague)
    leave(membership=gone, take_judgements=True)
    figures = report_of(answered).raters
    assert figures.raters <= 1
    assert figures.agreement.decided == 0


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
    style = style_of("x", [("Hello.", "length")])
    assert style is not None
    assert (style.length, style.length_error, style.cut_off) == (6, None, WinRate(1, 0))


def test_a_round_from_before_the_counts_still_has_its_accuracy(new_round):
    report = report_of(new_round(result={"device": "cpu"}))
    assert report.accuracy is not None
    assert report.accuracy.rewarded == WinRate(8, 2)
    assert report.accuracy.ranked is None
    assert report.margins == []
