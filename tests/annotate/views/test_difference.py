"""A card's difference view, for the rater who holds the card and nobody else."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.models import Completion, Judgement
from tests.factories import make_comparison, make_completion, make_policy, make_project, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture
def judgement(cast, client_of):
    prompt = make_prompt(cast.project)
    policy = make_policy(cast.project, "zz-secret")
    make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, policy, "Paris is the capital"),
        b=make_completion(prompt, policy, "Rome is the capital"),
    )
    client_of(cast.rater).get(reverse("rate", args=[cast.project.slug]))
    return Judgement.objects.get(rater=cast.rater)


def ask(client, judgement, slug="sharpen"):
    return client.get(reverse("difference", args=[slug, judgement.code]))


@pytest.mark.parametrize("swapped", [False, True])
def test_the_words_are_marked_on_the_sides_where_they_stand(cast, client_of, judgement, swapped):
    Judgement.objects.update(swapped=swapped)
    left, right = ("Rome", "Paris") if swapped else ("Paris", "Rome")
    answer = ask(client_of(cast.rater), judgement)
    begin = '<div class="difference"><mark class="only-'
    assert answer.json() == {
        side: f'{begin}{side}">{word}</mark> is the capital</div>'
        for side, word in (("left", left), ("right", right))
    }
    assert "zz-secret" not in answer.content.decode() + str(answer.headers)


def test_where_one_is_code_both_stand_in_its_type(cast, client_of, judgement):
    Completion.objects.filter(pk=judgement.comparison.a_id).update(text="```\nParis\n```")
    sides = ask(client_of(cast.rater), judgement).json().values()
    assert all('<div class="difference code">' in side for side in sides)


@pytest.mark.parametrize("who", ["colleague", "manager", "stranger"])
def test_nobody_else_sees_it(cast, client_of, judgement, who):
    assert ask(client_of(getattr(cast, who)), judgement).status_code == 404


def test_no_other_project_shows_it(cast, client_of, judgement):
    other = make_project("other")
    other.memberships.create(user=cast.rater)
    assert ask(client_of(cast.rater), judgement, "other").status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "a", "decided_at": timezone.now()},
        {"released_at": timezone.now()},
        {"retracted_at": timezone.now()},
    ],
    ids=["decided", "released", "retracted"],
)
def test_a_card_that_is_no_longer_held_shows_nothing(cast, client_of, judgement, change):
    Judgement.objects.update(**change)
    assert ask(client_of(cast.rater), judgement).status_code == 404


def test_it_is_read_and_never_kept(cast, client_of, judgement):
    client = client_of(cast.rater)
    assert "no-store" in ask(client, judgement)["Cache-Control"]
    assert client.post(reverse("difference", args=["sharpen", judgement.code])).status_code == 405
