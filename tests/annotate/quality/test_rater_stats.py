"""A rater's figures: pure functions by table, queries by small examples."""

from datetime import date, datetime, timedelta

import pytest
from django.utils import timezone

from annotate.models import Judgement
from annotate.quality import rater_stats
from tests.factories import make_comparison

NOON = datetime(2026, 5, 4, 12, tzinfo=timezone.get_fixed_timezone(0))


def at(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], None),
        ([(0, 10)], 10),
        ([(0, 10), (10, 30), (30, 36)], 10),
        ([(0, 10), (1, 14)], 7),  # the second was fetched while the first was read: 4 s
        ([(0, 4000)], None),  # left open
    ],
)
def test_seconds_a_card(times, expected):
    assert rater_stats.seconds_a_card([(at(a), at(b)) for a, b in times]) == expected


@pytest.mark.parametrize(
    ("back", "expected"),
    [([], 0), ([0], 1), ([0, 1, 2], 3), ([1, 2], 2), ([2, 3], 0), ([0, 2], 1)],
)
def test_streak(back, expected):
    today = date(2026, 5, 4)
    assert rater_stats.streak([today - timedelta(days=n) for n in back], today) == expected


def judged(project, rater, outcome, when=NOON, comparison=None):
    return Judgement.objects.create(
        comparison=comparison or make_comparison(project),
        rater=rater,
        swapped=False,
        outcome=outcome,
        served_at=when - timedelta(seconds=8),
        expires_at=when,
        decided_at=when,
    )


@pytest.mark.django_db
def test_work(cast):
    for days in (0, 0, 1, 6, 7, 40):
        judged(cast.project, cast.rater, "a", NOON - timedelta(days=days))
    judged(cast.project, cast.rater, "skip")
    judged(cast.project, cast.colleague, "a")
    work = rater_stats.work_of(project=cast.project, rater=cast.rater, now=NOON)
    assert (work.today, work.week, work.total, work.streak) == (2, 4, 6, 2)
    assert [count for _, count in work.days] == [1, 0, 0, 0, 0, 1, 2]
    assert work.seconds == pytest.approx(8)


@pytest.mark.django_db
def test_agreement_counts_meetings_with_others(cast):
    for mine, theirs in (("a", "a"), ("a", "b"), ("tie", "tie"), ("a", "skip")):
        comparison = make_comparison(cast.project, wanted=3)
        judged(cast.project, cast.rater, mine, comparison=comparison)
        judged(cast.project, cast.colleague, theirs, comparison=comparison)
    judged(cast.project, cast.rater, "a")
    agreements = rater_stats.agreements(cast.project)
    assert agreements[cast.rater.pk] == rater_stats.RaterAgreement(same=2, met=3)
    assert agreements[cast.colleague.pk] == rater_stats.RaterAgreement(same=2, met=3)
    assert agreements[cast.rater.pk].percent is None  # too few to say anything
    assert rater_stats.agreements(cast.project, rater=cast.rater).keys() == {cast.rater.pk}


def test_an_agreement_in_per_cent():
    assert rater_stats.RaterAgreement(same=9, met=12).percent == 75
