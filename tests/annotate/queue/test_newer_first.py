"""Cards held when a newer policy's answers come give way to these, and come back after them."""

import pytest

from annotate.models import Comparison, Judgement
from annotate.queue.cards import serve_ahead, serve_next
from annotate.queue.history import undo_last
from annotate.queue.record import record_verdict
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    return make_project()


@pytest.fixture
def rater(project):
    return join(project, make_user())


def held_cards(project, rater, count=2):
    cards = [serve_next(project=project, rater=rater)]
    while len(cards) < count:
        cards.append(serve_ahead(project=project, rater=rater, after=cards[-1].code))
    return cards


def newer(project, count=1):
    return [make_comparison(project, priority=1) for _ in range(count)]


def test_the_first_card_after_a_reload_is_of_the_newer_policy(project, rater):
    for _ in range(3):
        make_comparison(project)
    held_cards(project, rater)
    new = newer(project, 3)
    shown, ahead = held_cards(project, rater)
    assert {shown.comparison, ahead.comparison} < set(new)
    assert held_cards(project, rater) == [shown, ahead]  # and stays the first


def test_what_gave_way_is_free_for_others(project, rater):
    old = [make_comparison(project) for _ in range(2)]
    held_cards(project, rater)
    newer(project, 2)
    held_cards(project, rater)
    other = join(project, make_user())
    theirs = held_cards(project, other)
    assert {card.comparison for card in theirs} == set(old)


def test_what_gave_way_comes_back_as_it_was_when_the_newer_are_judged(project, rater):
    for _ in range(2):
        make_comparison(project)
    before = held_cards(project, rater)
    newer(project, 2)
    card = serve_next(project=project, rater=rater)
    seen = []
    while card is not None:
        seen.append(card)
        following = serve_ahead(project=project, rater=rater, after=card.code)
        record_verdict(code=card.code, rater=rater, choice="left")
        card = following
    assert [row.comparison.priority for row in seen] == [1, 1, 0, 0]
    assert seen[2:] == before
    assert [row.swapped for row in seen[2:]] == [row.swapped for row in before]
    assert Judgement.objects.counted().count() == 4


def test_a_window_that_still_shows_what_gave_way_can_vote_on_it(project, rater):
    make_comparison(project)
    (shown,) = held_cards(project, rater, 1)
    newer(project)
    assert serve_next(project=project, rater=rater) != shown
    record_verdict(code=shown.code, rater=rater, choice="left")
    shown.refresh_from_db()
    assert shown.outcome is not None
    assert not shown.is_late


def test_a_reopened_card_stays(project, rater):
    for _ in range(2):
        make_comparison(project)
    (shown,) = held_cards(project, rater, 1)
    record_verdict(code=shown.code, rater=rater, choice="left")
    again = undo_last(project=project, rater=rater)
    newer(project)
    assert serve_next(project=project, rater=rater) == again


def test_a_gold_card_stays(project, rater):
    make_comparison(project)
    (shown,) = held_cards(project, rater, 1)
    Comparison.objects.update(purpose="gold")
    newer(project)
    assert serve_next(project=project, rater=rater) == shown


def test_answers_of_policies_as_old_change_nothing(project, rater):
    for _ in range(2):
        make_comparison(project)
    before = held_cards(project, rater)
    make_comparison(project)
    assert held_cards(project, rater) == before
