"""Cards held ahead, so that a rater can go on without a connection."""

from itertools import pairwise

import pytest

from annotate.models import Judgement
from annotate.queue import cards
from annotate.queue.cards import serve_ahead, serve_next
from annotate.queue.record import record_verdict
from tests.factories import make_comparison

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(cast):
    return [make_comparison(cast.project) for _ in range(16)]


@pytest.fixture
def deep(monkeypatch):
    monkeypatch.setattr(cards, "DEEP_QUEUE", 3)


def hold(cast, most=20):
    """The codes of the cards served when asking repeatedly."""
    held = [serve_next(project=cast.project, rater=cast.rater).code]
    while len(held) < most:
        card = serve_ahead(project=cast.project, rater=cast.rater, after=held[-1])
        if card is None or card.code in held:
            break
        held.append(card.code)
    return held


def test_in_a_deep_queue_ten_cards_are_held_ahead(cast, queue, deep):
    assert len(hold(cast)) == cards.FAR_AHEAD == 11
    assert Judgement.objects.count() == 11


def test_in_a_shallow_queue_one_card_is_held_ahead(cast, queue):
    assert len(hold(cast)) == cards.AT_ONCE == 2
    assert Judgement.objects.count() == 2


def test_far_ahead_ends_where_the_queue_gets_shallow(cast, queue, monkeypatch):
    monkeypatch.setattr(cards, "DEEP_QUEUE", 9)
    held = hold(cast)
    assert len(held) == 7  # after the seventh, nine are left: no longer a deep queue


def test_the_order_stays_after_a_reload_and_after_a_verdict(cast, queue, deep):
    held = hold(cast)
    assert serve_next(project=cast.project, rater=cast.rater).code == held[0]
    for code, following in pairwise(held):
        after = serve_ahead(project=cast.project, rater=cast.rater, after=code)
        assert after.code == following
    record_verdict(code=held[0], rater=cast.rater, choice="tie")
    assert serve_next(project=cast.project, rater=cast.rater).code == held[1]


def test_asked_after_a_card_that_is_decided_it_gives_the_first_that_is_held(cast, queue, deep):
    held = hold(cast, most=3)
    record_verdict(code=held[0], rater=cast.rater, choice="tie")
    assert serve_ahead(project=cast.project, rater=cast.rater, after=held[0]).code == held[1]


def test_what_one_rater_holds_far_ahead_is_not_given_to_another(cast, queue, deep):
    mine = hold(cast)
    theirs = serve_next(project=cast.project, rater=cast.colleague)
    held = set(Judgement.objects.filter(code__in=mine).values_list("comparison", flat=True))
    assert theirs.comparison_id not in held
