"""Gold: when it is due, that it looks like any card, that it never settles, how it is counted."""

import re
from itertools import pairwise
from random import Random

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotate.models import Comparison, GoldItem, Judgement, Membership, PreferencePair
from annotate.quality import gold, practice
from annotate.queue import cards
from annotate.queue.cards import serve_next
from annotate.queue.empty_queue import why_empty
from annotate.queue.history import undo_last
from annotate.queue.record import record_verdict
from tests.factories import make_comparison, make_prompt

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def every_third(cast):
    cast.project.gold_every = 3
    cast.project.save()


def make_gold(cast, expected=("a",), **fields):
    comparison = make_comparison(cast.project, **fields)
    return gold.make_gold_item(comparison=comparison, expected=list(expected), by=cast.manager)


def judge(cast, rater, outcome="a"):
    card = serve_next(project=cast.project, rater=rater)
    if card is None:
        return None
    choice = {"a": "right" if card.swapped else "left", "b": "left" if card.swapped else "right"}
    record_verdict(code=card.code, rater=rater, choice=choice.get(outcome, outcome))
    return card.comparison


@pytest.mark.parametrize("every", [1, 2, 3, 10])
def test_the_distance_is_the_wish_on_the_average_and_varies(every):
    drawn = [gold.distance(every, seed=str(seed)) for seed in range(400)]
    assert abs(sum(drawn) / len(drawn) - every) < 0.15 * every + 0.3
    assert min(drawn) >= 1
    assert max(drawn) <= every + every // 2
    assert len(set(drawn)) > 1 or every == 1


def test_gold_comes_about_every_so_often_and_each_once(cast):
    golds = {make_gold(cast).comparison_id for _ in range(4)}
    for _ in range(30):
        make_comparison(cast.project)
    comparisons = [judge(cast, cast.rater) for _ in range(20)]
    met = [
        comparison.pk for comparison in comparisons if comparison.purpose == Comparison.Purpose.GOLD
    ]
    assert set(met) == golds
    assert len(met) == 4
    places = [
        n
        for n, comparison in enumerate(comparisons)
        if comparison.purpose == Comparison.Purpose.GOLD
    ]
    assert all(later - earlier in (2, 3, 4) for earlier, later in pairwise(places))


def test_off_by_default_and_never_in_the_ordinary_queue(cast):
    cast.project.gold_every = 0
    make_gold(cast)
    make_comparison(cast.project)
    assert judge(cast, cast.rater).purpose == Comparison.Purpose.NORMAL
    assert judge(cast, cast.rater) is None
    assert why_empty(project=cast.project, rater=cast.rater).reason == "caught_up"


def test_everybody_judges_it_once_and_it_never_settles(cast):
    cast.project.gold_every = 1
    item = make_gold(cast)
    for rater in (cast.rater, cast.colleague):
        assert judge(cast, rater).pk == item.comparison_id
        assert judge(cast, rater) is None
    item.comparison.refresh_from_db()
    assert item.comparison.state == Comparison.State.OPEN
    assert not PreferencePair.objects.exists()


def test_the_database_refuses_gold_that_settles(cast):
    item = make_gold(cast)
    with pytest.raises(IntegrityError), transaction.atomic():
        Comparison.objects.filter(pk=item.comparison_id).update(state="settled", result="tie")


def test_undo_works_on_gold(cast):
    cast.project.gold_every = 1
    item = make_gold(cast)
    judge(cast, cast.rater)
    again = undo_last(project=cast.project, rater=cast.rater)
    assert again.comparison_id == item.comparison_id
    record_verdict(code=again.code, rater=cast.rater, choice="tie")
    assert gold.gold_accuracy(cast.project) == {cast.rater.pk: (0, 1)}


def test_nobody_meets_the_same_answers_twice(cast):
    cast.project.gold_every = 1
    open_one = make_comparison(cast.project)
    judge(cast, cast.rater)  # settles it
    gold.make_gold_item(comparison=open_one, expected=["a"], by=cast.manager)
    assert judge(cast, cast.rater) is None
    assert judge(cast, cast.colleague) is not None


def test_who_practised_on_it_or_made_it_does_not_get_it(cast):
    cast.project.gold_every = 1
    comparison = make_comparison(cast.project)
    item = practice.make_practice_item(
        comparison=comparison, expected=["a"], feedback="So.", by=cast.manager
    )
    member = Membership.objects.get(user=cast.rater)
    practice.answer(membership=member, item=item, outcome="a")
    gold.make_gold_item(comparison=comparison, expected=["a"], by=cast.manager)
    assert judge(cast, cast.rater) is None
    assert judge(cast, cast.manager) is None
    assert judge(cast, cast.colleague) is not None


def test_an_open_source_leaves_the_queue_and_returns_when_retired(cast):
    item = make_gold(cast)
    item.source.refresh_from_db()
    assert item.source.state == Comparison.State.VOID
    gold.retire_gold_item(item=item)
    item.source.refresh_from_db()
    item.comparison.refresh_from_db()
    assert item.source.state == Comparison.State.OPEN
    assert item.comparison.state == Comparison.State.VOID
    again = gold.make_gold_item(comparison=item.source, expected=["b"], by=cast.manager)
    assert again.pk == item.pk
    assert GoldItem.objects.get().expected == ["b"]


def test_nothing_on_the_page_tells_gold_from_others(cast, client_of, monkeypatch):
    cast.project.gold_every = 1
    cast.project.save()
    prompt = make_prompt(cast.project, "What is it?")
    make_gold(cast, prompt=prompt)
    client, address = client_of(cast.rater), reverse("rate", args=["sharpen"])

    def page():
        monkeypatch.setattr(cards, "_draw", Random(1))
        text = client.get(address).content.decode()
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "CODE", text)
        text = re.sub(r"Answer \d+\.", "ANSWER", text)
        return re.sub(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"\w+"', "TOKEN", text)

    as_gold = page()
    Judgement.objects.all().delete()
    gold.retire_gold_item(item=GoldItem.objects.get())
    as_ordinary = page()
    assert Judgement.objects.get().comparison.purpose == Comparison.Purpose.NORMAL
    assert as_gold == as_ordinary
    assert "gold" not in as_gold.lower()


def test_accuracy_a_rater(cast):
    cast.project.gold_every = 1
    make_gold(cast, expected=("a", "tie"))
    make_gold(cast, expected=("b",))
    for _ in range(2):
        judge(cast, cast.rater, "a")
    judge(cast, cast.colleague, "skip")
    assert gold.gold_accuracy(cast.project) == {cast.rater.pk: (1, 2)}


def test_a_due_gold_item_that_there_is_none_of_lets_the_queue_go_on(cast):
    make_comparison(cast.project)
    cast.project.gold_every = 1
    assert judge(cast, cast.rater).purpose == Comparison.Purpose.NORMAL
