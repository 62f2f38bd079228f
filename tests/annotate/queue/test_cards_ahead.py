"""The card on the screen, the one ahead, and their leases."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import Comparison, Judgement
from annotate.queue.cards import CannotRenew, renew_lease, serve_ahead, serve_next
from annotate.queue.history import undo_last
from annotate.queue.leases import release_expired
from annotate.queue.record import record_verdict
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db
LATER = timedelta(minutes=11)


@pytest.fixture
def project():
    return make_project(lease_minutes=10)


@pytest.fixture
def rater(project):
    return join(project, make_user())


@pytest.fixture
def other(project):
    return join(project, make_user())


def shown_and_ahead(project, rater, **named):
    shown = serve_next(project=project, rater=rater, **named)
    return shown, serve_ahead(project=project, rater=rater, after=shown.code, **named)


def test_the_card_ahead_is_another_and_stays_the_same(project, rater):
    for _ in range(5):
        make_comparison(project)
    shown, ahead = shown_and_ahead(project, rater)
    assert ahead != shown
    assert shown_and_ahead(project, rater) == (shown, ahead)


def test_in_a_short_queue_nobody_holds_more_than_two(project, rater):
    for _ in range(5):
        make_comparison(project)
    _, ahead = shown_and_ahead(project, rater)
    assert serve_ahead(project=project, rater=rater, after=ahead.code) == ahead
    assert Judgement.objects.count() == 2


def test_the_verdict_makes_the_one_ahead_the_next(project, rater):
    for _ in range(3):
        make_comparison(project)
    shown, ahead = shown_and_ahead(project, rater)
    record_verdict(code=shown.code, rater=rater, choice="left")
    third = serve_ahead(project=project, rater=rater, after=ahead.code)
    assert third not in (shown, ahead)
    assert serve_next(project=project, rater=rater) == ahead


def test_the_last_card_has_none_ahead(project, rater):
    make_comparison(project)
    _, ahead = shown_and_ahead(project, rater)
    assert ahead is None


def test_nothing_is_fetched_ahead_in_a_paused_project(project, rater):
    make_comparison(project)
    make_comparison(project)
    shown = serve_next(project=project, rater=rater)
    project.is_paused = True
    assert serve_ahead(project=project, rater=rater, after=shown.code) is None


def test_undo_keeps_the_card_ahead_next(project, rater):
    for _ in range(3):
        make_comparison(project)
    shown, ahead = shown_and_ahead(project, rater)
    record_verdict(code=shown.code, rater=rater, choice="left")
    again = undo_last(project=project, rater=rater)
    assert serve_next(project=project, rater=rater) == again
    assert serve_ahead(project=project, rater=rater, after=again.code) == ahead


def test_a_renewal_keeps_both_cards(project, rater, other):
    for _ in range(2):
        make_comparison(project)
    now = timezone.now()
    shown, ahead = shown_and_ahead(project, rater, now=now)
    renewed = now + timedelta(minutes=8)
    renew_lease(project=project, rater=rater, code=shown.code, now=renewed)
    assert serve_next(project=project, rater=other, now=now + LATER) is None
    assert shown_and_ahead(project, rater, now=now + LATER) == (shown, ahead)


def test_both_cards_of_a_rater_who_left_go_to_others(project, rater, other):
    for _ in range(2):
        make_comparison(project)
    mine = shown_and_ahead(project, rater)
    theirs = shown_and_ahead(project, other, now=timezone.now() + LATER)
    assert {card.comparison for card in theirs} == {card.comparison for card in mine}
    with pytest.raises(CannotRenew, match="somebody else"):
        renew_lease(project=project, rater=rater, code=mine[0].code)


def test_a_lapsed_lease_is_renewed_while_the_work_is_free(project, rater):
    comparison = make_comparison(project)
    shown = serve_next(project=project, rater=rater)
    later = timezone.now() + LATER
    release_expired(now=later)
    renew_lease(project=project, rater=rater, code=shown.code, now=later)
    comparison.refresh_from_db()
    shown.refresh_from_db()
    assert comparison.judgements_taken == 1
    assert shown.released_at is None


def test_a_decided_card_has_no_lease(project, rater):
    make_comparison(project)
    shown = serve_next(project=project, rater=rater)
    record_verdict(code=shown.code, rater=rater, choice="left")
    with pytest.raises(CannotRenew):
        renew_lease(project=project, rater=rater, code=shown.code)


def test_a_card_of_a_withdrawn_comparison_is_not_shown_and_its_verdict_is_kept(project, rater):
    comparison = make_comparison(project)
    shown = serve_next(project=project, rater=rater)
    Comparison.objects.filter(pk=comparison.pk).update(state="void")
    assert serve_next(project=project, rater=rater) is None
    done = record_verdict(code=shown.code, rater=rater, choice="left")
    assert done.status == "late"
