"""Many raters at once, each in a thread with a connection of its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from annotate import serving
from annotate.models import Comparison, Judgement, PreferencePair
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def judge_all(project, rater):
    """Judge until nothing is left; returns the comparisons that were judged."""
    judged = []
    try:
        while (card := serving.serve_next(project=project, rater=rater)) is not None:
            done = serving.record_verdict(code=card.code, rater=rater, choice="left")
            assert done.status == "stored"
            judged.append(card.comparison_id)
    finally:
        connection.close()
    return judged


@pytest.mark.parametrize("wanted", [1, 3])
def test_every_comparison_gets_exactly_the_judgements_wanted(wanted):
    project = make_project()
    comparisons = [make_comparison(project, wanted=wanted) for _ in range(15)]
    raters = [join(project, make_user()) for _ in range(6)]
    with ThreadPoolExecutor(len(raters)) as pool:
        judged = list(pool.map(lambda rater: judge_all(project, rater), raters))
    assert sum(map(len, judged)) == wanted * len(comparisons)
    assert all(len(set(mine)) == len(mine) for mine in judged)
    assert not Comparison.objects.exclude(state="settled", judgements_taken=wanted).exists()
    settled_as_pairs = Comparison.objects.filter(result="pair").count()
    assert PreferencePair.objects.count() == settled_as_pairs
    if wanted == 1:
        assert settled_as_pairs == len(comparisons)


def test_one_verdict_sent_by_two_windows_at_once_is_stored_once():
    project = make_project()
    rater = join(project, make_user())
    make_comparison(project)
    card = serving.serve_next(project=project, rater=rater)

    def send(_):
        try:
            return serving.record_verdict(code=card.code, rater=rater, choice="left").status
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(pool.map(send, range(4)))
    assert statuses == ["repeated", "repeated", "repeated", "stored"]
    assert PreferencePair.objects.count() == 1


def test_one_rater_in_four_windows_holds_one_card():
    project = make_project()
    rater = join(project, make_user())
    make_comparison(project, wanted=4)

    def serve(_):
        try:
            return serving.serve_next(project=project, rater=rater)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(serve, range(4)))
    codes = {card.code for card in cards if card is not None}
    assert len(codes) == 1
    assert Judgement.objects.count() == 1
    assert Comparison.objects.get().judgements_taken == 1
