"""Practice: what is asked, the feedback, when it is passed, and its effect on the queue."""

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotate.models import Comparison, Membership, PracticeAnswer, PracticeItem, PreferencePair
from annotate.quality import practice
from annotate.queue.cards import serve_next
from tests.factories import make_comparison

pytestmark = pytest.mark.django_db
ADDRESS = reverse("practice", args=["sharpen"])


@pytest.fixture
def membership(cast):
    return Membership.objects.select_related("project", "user").get(user=cast.rater)


@pytest.fixture
def item(cast):
    return make_item(cast)


def make_item(cast, expected=("a",), **fields):
    return practice.make_practice_item(
        comparison=make_comparison(cast.project, **fields),
        expected=list(expected),
        feedback="Because it is **true**.",
        by=cast.manager,
    )


CLICK = {"a": "left", "b": "right"}


@pytest.mark.parametrize(
    ("right", "of", "percent", "expected"),
    [(0, 5, None, True), (3, 5, 60, True), (2, 5, 60, False), (2, 3, 67, False), (3, 3, 100, True)],
)
def test_the_rule(right, of, percent, expected):
    assert practice.passes(right, of, percent) is expected


def test_the_answer_is_told_afterwards_and_not_before(cast, membership, item, client_of):
    client = client_of(cast.rater)
    page = client.get(ADDRESS).content.decode()
    assert "Practice 1/1" in page
    for secret in ("Because it is", "data-expected", "As expected"):
        assert secret not in page
    choice = CLICK["a"]
    page = client.post(ADDRESS, {"item": item.pk, "choice": choice}, follow=True).content.decode()
    assert "As expected" in page
    assert "<strong>true</strong>" in page
    assert f'data-expected="{choice}"' in page


def test_another_answer_is_told_what_was_expected(cast, membership, item, client_of):
    choice = CLICK["b"]
    page = client_of(cast.rater).post(ADDRESS, {"item": item.pk, "choice": choice}, follow=True)
    assert "Another answer was expected" in page.content.decode()
    assert PracticeAnswer.objects.get().outcome == "b"


def test_the_first_answer_of_an_attempt_counts(cast, membership, item, client_of):
    client = client_of(cast.rater)
    for outcome in ("tie", "a"):
        client.post(ADDRESS, {"item": item.pk, "choice": CLICK.get(outcome, outcome)})
    assert PracticeAnswer.objects.get().outcome == "tie"


def test_without_a_rule_taking_part_is_enough(membership, item):
    practice.answer(membership=membership, item=item, outcome="b")
    assert membership.practised_at is not None


def test_a_rule_is_held_and_practice_can_be_repeated(cast, membership, item, client_of):
    cast.project.practice_pass_percent = 100
    cast.project.save()
    membership.project.refresh_from_db()
    client = client_of(cast.rater)
    client.post(ADDRESS, {"item": item.pk, "choice": "tie"})
    assert "Not passed yet" in client.get(ADDRESS).content.decode()
    membership.refresh_from_db()
    assert membership.practised_at is None
    assert client.get(reverse("rate", args=["sharpen"]))["Location"] == ADDRESS
    client.post(reverse("practise_again", args=["sharpen"]))
    membership.refresh_from_db()
    client.post(ADDRESS, {"item": item.pk, "choice": CLICK["a"]})
    membership.refresh_from_db()
    assert membership.practised_at is not None
    assert PracticeAnswer.objects.count() == 2


def test_a_new_attempt_needs_the_end_of_the_old(membership, item):
    assert not practice.again(membership=membership)


def test_an_unknown_choice_is_refused(cast, item, client_of):
    response = client_of(cast.rater).post(ADDRESS, {"item": item.pk, "choice": "skip"})
    assert response.status_code == 422
    assert not PracticeAnswer.objects.exists()


def test_items_of_other_projects_cannot_be_answered(cast, item, client_of):
    PracticeItem.objects.update(retired_at="2026-01-01T00:00Z")
    make_item(cast)
    response = client_of(cast.rater).post(ADDRESS, {"item": item.pk, "choice": "tie"})
    assert response.status_code == 404


def test_practice_trains_nothing(membership, item):
    practice.answer(membership=membership, item=item, outcome="a")
    assert not PreferencePair.objects.exists()


def test_an_open_comparison_leaves_the_queue_and_returns(cast, item):
    assert serve_next(project=cast.project, rater=cast.colleague) is None
    practice.retire_practice_item(item=item)
    assert serve_next(project=cast.project, rater=cast.colleague) is not None


def test_a_settled_comparison_stays_settled(cast):
    comparison = make_comparison(cast.project, state="settled", result="tie")
    for step in ("make", "retire"):
        if step == "make":
            item = practice.make_practice_item(
                comparison=comparison, expected=["tie"], feedback="Same.", by=cast.manager
            )
        else:
            practice.retire_practice_item(item=item)
        comparison.refresh_from_db()
        assert comparison.state == Comparison.State.SETTLED


def test_the_database_refuses_an_item_that_expects_nothing(item):
    with pytest.raises(IntegrityError), transaction.atomic():
        PracticeItem.objects.filter(pk=item.pk).update(expected=[])
