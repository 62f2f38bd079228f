"""Line-ups: the rules by table, then which comparisons and pairs an order produces."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comparison, Judgement, LineUp, Membership, Ordering, PreferencePair
from annotate.pairing.comparisons import PairingCandidate, make_comparisons, plan_line_ups
from annotate.people.members import leave, pause
from annotate.people.own_data import everything, summary
from annotate.queue.cards import serve_next
from annotate.queue.history import CannotUndo, can_undo, undo_last
from annotate.queue.line_ups import (
    OrderRefused,
    UnknownOrdering,
    check_places,
    pairs_of,
    record_order,
    release_expired_orderings,
    reopen_order,
    serve_line_up,
    skip_line_up,
)
from tests.factories import join, make_completion, make_policy, make_project, make_prompt, make_user
from training.policies.pool import rejoin, retire
from training.rounds.snapshots import freeze_snapshot


@pytest.mark.parametrize(
    ("posted", "places"),
    [
        (["2", "1", "3"], [2, 1, 3]),
        (["1", "3", "3"], [1, 2, 2]),
        (["2", "2", "2"], [1, 1, 1]),
        (["3", "1", "1"], [2, 1, 1]),
    ],
)
def test_places_are_numbers_without_gaps(posted, places):
    assert check_places(posted, 3) == places


@pytest.mark.parametrize(
    "posted", [["1", "2"], ["1", "2", ""], ["1", "2", "x"], ["0", "1", "2"], ["1", "2", "4"], []]
)
def test_other_places_are_refused(posted):
    with pytest.raises(OrderRefused):
        check_places(posted, 3)


def test_an_order_says_something_of_every_pair():
    assert pairs_of([30, 10, 20], [1, 2, 2]) == [
        (10, 30, "b", True),
        (20, 30, "b", True),
        (10, 20, "tie", False),
    ]


def candidates(*policies):
    return [
        PairingCandidate(pk, policy, f"text {pk}") for pk, policy in enumerate(policies, start=1)
    ]


def test_many_policies_meet_in_a_line_up():
    (group,) = plan_line_ups(candidates(1, 1, 1, 2, 3), 3)
    assert sorted(group) == [1, 4, 5]
    assert plan_line_ups(candidates(1, 1), 3) == []
    assert plan_line_ups(candidates(1, 2, 3), 0) == []
    assert len(plan_line_ups(candidates(1, 2, 3, 1, 2, 3, 1), 3)) == 2


def test_equal_and_used_ones_stay_out_of_a_line_up():
    same = [PairingCandidate(pk, pk, "the  same" if pk % 2 else "the same") for pk in range(1, 5)]
    assert plan_line_ups(same, 3) == []
    used = [PairingCandidate(pk, pk, str(pk), used=pk > 2) for pk in range(1, 5)]
    assert plan_line_ups(used, 3) == []


# --- rows ---


@pytest.fixture
def project(db):
    return make_project(line_up_size=3)


def lined_up(project, size=3):
    prompt = make_prompt(project, held_out=False)
    policies = [make_policy(project) for _ in range(size)]
    answers = [make_completion(prompt, policy) for policy in policies]
    assert make_comparisons(project=project) == 1
    return LineUp.objects.latest("pk"), answers


def order_by(rater, project, best_first):
    ordering = serve_line_up(project=project, rater=rater)
    rank = {pk: place for place, group in enumerate(best_first, start=1) for pk in group}
    places = [str(rank[pk]) for pk in ordering.shown]
    return ordering, record_order(code=ordering.code, rater=rater, places=places)


def test_an_order_gives_all_its_pairs(project):
    _, (first, second, third) = lined_up(project)
    rater = join(project, make_user())
    _, status = order_by(rater, project, [[second.pk], [third.pk], [first.pk]])
    assert status == "stored"
    pairs = set(PreferencePair.objects.values_list("chosen", "rejected"))
    assert pairs == {(second.pk, third.pk), (second.pk, first.pk), (third.pk, first.pk)}
    assert LineUp.objects.get().state == "settled"
    assert make_comparisons(project=project) == 0
    assert serve_next(project=project, rater=join(project, make_user())) is None


def test_equal_places_are_ties_and_train_nothing(project):
    _, (first, second, third) = lined_up(project)
    order_by(join(project, make_user()), project, [[first.pk, second.pk], [third.pk]])
    assert PreferencePair.objects.count() == 2
    assert Comparison.objects.get(a=first, b=second).result == "tie"


def test_majorities_are_counted_pair_by_pair(project):
    project.judgements_wanted = 3
    project.save()
    _, (first, second, third) = lined_up(project)
    for best in ([[first.pk], [second.pk], [third.pk]],) * 2 + (
        [[third.pk], [first.pk], [second.pk]],
    ):
        order_by(join(project, make_user()), project, best)
    pair = PreferencePair.objects.get(chosen=first, rejected=second)
    assert (pair.weight, pair.agreement) == (1, 1)
    pair = PreferencePair.objects.get(chosen=first, rejected=third)
    assert pair.weight == pytest.approx(1 / 3)
    assert LineUp.objects.get().state == "settled"


def test_twice_is_once_and_another_order_is_told(project):
    _, answers = lined_up(project)
    rater = join(project, make_user())
    ordering, _ = order_by(rater, project, [[answer.pk] for answer in answers])
    same = [str(place) for place in Ordering.objects.get().places]
    assert record_order(code=ordering.code, rater=rater, places=same) == "repeated"
    assert record_order(code=ordering.code, rater=rater, places=same[::-1]) == "conflicting"
    assert Judgement.objects.count() == 3
    with pytest.raises(UnknownOrdering):
        record_order(code=ordering.code, rater=make_user(), places=same)


def test_a_skipped_one_goes_to_somebody_else(project):
    lined_up(project)
    rater, other = join(project, make_user()), join(project, make_user())
    ordering = serve_line_up(project=project, rater=rater)
    assert serve_line_up(project=project, rater=other) is None
    assert serve_line_up(project=project, rater=rater) == ordering
    skip_line_up(code=ordering.code, rater=rater)
    skip_line_up(code=ordering.code, rater=rater)
    assert serve_line_up(project=project, rater=rater) is None
    assert serve_line_up(project=project, rater=other).line_up == ordering.line_up


def test_what_is_left_open_goes_to_others_and_a_late_order_does_not_count(project):
    _, answers = lined_up(project)
    rater, other = join(project, make_user()), join(project, make_user())
    left = serve_line_up(project=project, rater=rater)
    later = timezone.now() + timedelta(hours=1)
    assert release_expired_orderings(now=later) == 1
    assert release_expired_orderings(now=later) == 0
    order_by(other, project, [[answer.pk] for answer in answers])
    assert record_order(code=left.code, rater=rater, places=["1", "2", "3"]) == "late"
    assert Judgement.objects.filter(rater=rater).count() == 0


def test_an_expired_one_counts_while_nobody_has_taken_it(project):
    lined_up(project)
    rater = join(project, make_user())
    left = serve_line_up(project=project, rater=rater)
    release_expired_orderings(now=timezone.now() + timedelta(hours=1))
    assert record_order(code=left.code, rater=rater, places=["1", "2", "3"]) == "stored"
    assert LineUp.objects.get().orders_taken == 1


def test_a_second_window_shows_the_line_up_that_the_first_one_holds(project):
    lined_up(project)
    lined_up(project)
    rater = join(project, make_user())
    first = serve_line_up(project=project, rater=rater)
    assert serve_line_up(project=project, rater=rater) == first
    assert Ordering.objects.count() == 1


def test_who_pauses_or_leaves_gives_the_line_up_to_others(project):
    lined_up(project)
    rater, other = (join(project, make_user()) for _ in range(2))
    membership = Membership.objects.get(project=project, user=rater)
    serve_line_up(project=project, rater=rater)
    assert serve_line_up(project=project, rater=other) is None
    pause(membership=membership)
    assert serve_line_up(project=project, rater=other) is not None


def test_who_takes_judgements_along_takes_the_orders_too(project):
    _, answers = lined_up(project)
    rater, other = (join(project, make_user()) for _ in range(2))
    ordering, _ = order_by(rater, project, [[answer.pk] for answer in answers])
    leave(membership=Membership.objects.get(project=project, user=rater), take_judgements=True)
    ordering.refresh_from_db()
    assert (ordering.places, ordering.is_skipped) == (None, True)
    assert not PreferencePair.objects.exists()
    _, status = order_by(other, project, [[answer.pk] for answer in reversed(answers)])
    assert status == "stored"
    assert PreferencePair.objects.count() == 3


def test_a_person_can_see_the_own_orders(project):
    _, answers = lined_up(project)
    rater = join(project, make_user())
    order_by(rater, project, [[answer.pk] for answer in answers])
    assert summary(project=project, user=rater)["orders"] == 1
    membership = Membership.objects.get(project=project, user=rater)
    (line_up,) = everything(project=project, user=rater, membership=membership)["line_ups"]
    assert sorted(line_up["places"]) == [1, 2, 3]


def test_an_order_can_be_changed_until_a_snapshot_holds_it(project):
    _, (first, second, third) = lined_up(project)
    rater = join(project, make_user())
    ordering, _ = order_by(rater, project, [[first.pk], [second.pk], [third.pk]])
    reopen_order(code=ordering.code, rater=rater)
    assert PreferencePair.objects.count() == 0
    again, _ = order_by(rater, project, [[third.pk], [second.pk], [first.pk]])
    assert again.code == ordering.code
    assert set(PreferencePair.objects.values_list("chosen", flat=True)) == {second.pk, third.pk}
    assert Judgement.objects.filter(retracted_at=None).count() == 3
    assert Judgement.objects.count() == 6
    freeze_snapshot(project=project)
    with pytest.raises(CannotUndo):
        reopen_order(code=ordering.code, rater=rater)
    assert Judgement.objects.filter(retracted_at=None).count() == 3


def test_undo_on_the_rating_page_leaves_an_order_alone(project):
    _, answers = lined_up(project)
    rater = join(project, make_user())
    order_by(rater, project, [[answer.pk] for answer in answers])
    assert not can_undo(project=project, rater=rater)
    with pytest.raises(CannotUndo):
        undo_last(project=project, rater=rater)


def test_a_retired_policys_line_ups_leave_with_it(project):
    line_up, answers = lined_up(project)
    policy = answers[0].policy
    retire(policy=policy)
    line_up.refresh_from_db()
    assert line_up.state == "void"
    rejoin(policy=policy)
    line_up.refresh_from_db()
    assert line_up.state == "open"


@pytest.mark.django_db(transaction=True)
def test_many_raters_at_once_take_each_slot_once():
    project = make_project(line_up_size=3, judgements_wanted=2)
    for _ in range(4):
        lined_up(project)
    raters = [join(project, make_user()) for _ in range(6)]

    def work(rater):
        done = 0
        try:
            while (ordering := serve_line_up(project=project, rater=rater)) is not None:
                places = ["1", "2", "3"]
                done += record_order(code=ordering.code, rater=rater, places=places) == "stored"
            return done
        finally:
            connection.close()

    with ThreadPoolExecutor(len(raters)) as pool:
        assert sum(pool.map(work, raters)) == 8
    assert Judgement.objects.count() == 8 * 3
    assert not LineUp.objects.exclude(state="settled", orders_taken=2).exists()


# --- pages ---


@pytest.fixture
def rater(project, client):
    rater = join(project, make_user())
    client.force_login(rater)
    return client


def test_a_rater_is_led_to_the_line_up_orders_it_and_is_led_back(project, rater):
    lined_up(project)
    address = reverse("line_up", args=[project.slug])
    assert rater.get(reverse("rate", args=[project.slug])).url == address
    page = rater.get(address).content.decode()
    ordering = Ordering.objects.get()
    assert page.count("<select") == 3
    for policy in project.policies.all():
        assert policy.slug not in page
    order_url = reverse("order", args=[project.slug, ordering.code])
    wrong = rater.post(order_url, {"place-0": "1", "place-1": "2"})
    assert wrong.status_code == 422
    assert "Give every answer a place." in wrong.content.decode()
    assert Ordering.objects.get().places is None
    done = rater.post(order_url, {"place-0": "1", "place-1": "2", "place-2": "2"}, follow=True)
    assert Ordering.objects.get().places == [1, 2, 2]
    assert done.redirect_chain[-1][0] == reverse("rate", args=[project.slug])
    rater.post(reverse("reopen_order", args=[project.slug, ordering.code]))
    assert Ordering.objects.get().places is None


def test_anothers_line_up_is_not_found(project, rater):
    lined_up(project)
    held = serve_line_up(project=project, rater=join(project, make_user()))
    order_url = reverse("order", args=[project.slug, held.code])
    assert rater.post(order_url, {"skip": "yes"}).status_code == 404
    assert rater.post(order_url, {"place-0": "1"}).status_code == 404
