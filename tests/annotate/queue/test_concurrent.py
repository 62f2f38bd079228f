"""Many raters at once, each in a thread with its own connection."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from annotate.models import Comparison, Completion, Judgement, PreferencePair
from annotate.queue import sql
from annotate.queue.cards import serve_ahead, serve_next
from annotate.queue.history import CannotUndo, reopen_verdict, undo_last
from annotate.queue.leases import release_expired
from annotate.queue.record import record_verdict
from annotate.queue.verdicts import VerdictDetails
from tests.factories import join, make_comparison, make_project, make_user

pytestmark = pytest.mark.django_db(transaction=True)


def judge_all(project, rater):
    """Judge until nothing is left; returns the comparisons that were judged."""
    judged = []
    try:
        while (card := serve_next(project=project, rater=rater)) is not None:
            done = record_verdict(code=card.code, rater=rater, choice="left")
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


def test_what_another_rater_is_just_taking_is_passed_over():
    if not connection.features.has_select_for_update:
        return  # a single writer: no two can take a comparison at once
    project = make_project()
    mine, other = (join(project, make_user()) for _ in range(2))
    first, second = make_comparison(project, priority=1), make_comparison(project)

    def take(rater):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '10s'")
                return sql.take_first(rater.pk, project.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        assert sql.take_first(other.pk, project.pk) == first.pk
        assert pool.submit(take, mine).result() == second.pk


def test_one_verdict_sent_by_two_windows_at_once_is_stored_once():
    project = make_project()
    rater = join(project, make_user())
    make_comparison(project)
    card = serve_next(project=project, rater=rater)

    def send(_):
        try:
            return record_verdict(code=card.code, rater=rater, choice="left").status
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
            return serve_next(project=project, rater=rater)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        cards = list(pool.map(serve, range(4)))
    codes = {card.code for card in cards if card is not None}
    assert len(codes) == 1
    assert Judgement.objects.count() == 1
    assert Comparison.objects.get().judgements_taken == 1


def in_threads(call, times):
    """What ``call(number)`` returns in ``times`` threads, each with its own connection."""

    def call_once(number):
        try:
            return call(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call_once, range(times)))


def judge_all_ahead(project, rater):
    """Judge as the page does: one card shown, one fetched ahead."""
    judged = []
    shown = serve_next(project=project, rater=rater)
    while shown is not None:
        ahead = serve_ahead(project=project, rater=rater, after=shown.code)
        done = record_verdict(code=shown.code, rater=rater, choice="left")
        assert done.status == "stored"
        judged.append(shown.comparison_id)
        shown = ahead
    return judged


@pytest.mark.parametrize("wanted", [1, 2])
def test_fetching_ahead_gives_nothing_twice_and_leaves_nothing(wanted):
    project = make_project()
    comparisons = [make_comparison(project, wanted=wanted) for _ in range(20)]
    raters = [join(project, make_user()) for _ in range(5)]
    judged = in_threads(lambda number: judge_all_ahead(project, raters[number]), len(raters))
    assert sum(map(len, judged)) == wanted * len(comparisons)
    assert not Comparison.objects.exclude(state="settled", judgements_taken=wanted).exists()


def test_one_rater_in_many_windows_holds_two_cards_at_most():
    project = make_project()
    rater = join(project, make_user())
    for _ in range(12):
        make_comparison(project)
    shown = serve_next(project=project, rater=rater)
    cards = in_threads(lambda _: serve_ahead(project=project, rater=rater, after=shown.code), 6)
    assert len({card.code for card in cards}) == 1
    assert Judgement.objects.count() == 2
    assert sum(Comparison.objects.values_list("judgements_taken", flat=True)) == 2


def test_one_verdict_reopened_by_two_windows_is_reopened_once():
    project = make_project()
    rater = join(project, make_user())
    make_comparison(project)
    card = serve_next(project=project, rater=rater)
    record_verdict(code=card.code, rater=rater, choice="left")

    def reopen(_):
        try:
            return reopen_verdict(rater=rater, code=card.code).pk
        except CannotUndo:
            return None

    reopened = in_threads(reopen, 4)
    assert len([pk for pk in reopened if pk is not None]) == 1
    assert Judgement.objects.filter(retracted_at=None).count() == 1
    assert Comparison.objects.get().judgements_taken == 1


def test_a_late_change_and_its_expiry_at_once_leave_one_verdict():
    for _ in range(5):
        project = make_project()
        rater = join(project, make_user())
        comparison = make_comparison(project)
        card = serve_next(project=project, rater=rater)
        record_verdict(code=card.code, rater=rater, choice="left")
        again = undo_last(project=project, rater=rater)
        Judgement.objects.filter(pk=again.pk).update(expires_at=again.served_at)

        def step(number, project=project, rater=rater, code=again.code):
            if number % 2:
                return release_expired(project=project)
            return record_verdict(code=code, rater=rater, choice="tie").status

        results = in_threads(step, 4)
        assert set(results[::2]) <= {"stored", "repeated"}
        counted = Judgement.objects.get(
            comparison=comparison, retracted_at=None, decided_at__isnull=False
        )
        assert counted.outcome == "tie"
        comparison.refresh_from_db()
        assert (comparison.result, comparison.judgements_taken) == ("tie", 1)
        assert not comparison.pairs.exists()


def test_two_raters_edits_settle_into_four_pairs():
    project = make_project(editing_on=True)
    make_comparison(project, wanted=2)
    raters = [join(project, make_user()) for _ in range(2)]
    cards = [serve_next(project=project, rater=rater) for rater in raters]

    def send(number):
        details = VerdictDetails(edit="The same words.", edited_from="left")
        return record_verdict(
            code=cards[number].code, rater=raters[number], choice="tie", details=details
        ).status

    assert in_threads(send, 2) == ["stored", "stored"]
    assert PreferencePair.objects.filter(kind="edit").count() == 4
    assert Completion.objects.filter(policy__kind="people").count() == 1
