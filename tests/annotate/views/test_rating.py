import re
from uuid import uuid4

import pytest
from django.urls import reverse

from annotate.models import Comparison, Judgement, Policy, PreferencePair
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def rater(cast, client_of):
    return client_of(cast.rater)


@pytest.fixture
def comparison(cast):
    prompt = make_prompt(cast.project, "What is the capital of France?")
    parent = make_policy(
        cast.project,
        "zz-secret-seven",
        kind=Policy.Kind.ADAPTER,
        base_model="zz-secret-base",
        adapter_path="/zz-secret-path",
    )
    child = make_policy(cast.project, "zz-secret-eight", parent=parent)
    return make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, parent, "Paris.", token_count=4321, logprob=-98.75),
        b=make_completion(prompt, child, "No idea.", token_count=8765, finish_reason="zz-stop"),
    )


def rate_url(cast):
    return reverse("rate", args=[cast.project.slug])


def card_of(cast) -> Judgement:
    return Judgement.objects.get(rater=cast.rater, decided_at=None, retracted_at=None)


def verdict_url(cast):
    return reverse("verdict", args=[cast.project.slug, card_of(cast).code])


def test_the_page_shows_the_prompt_and_both_answers(cast, rater, comparison):
    page = rater.get(rate_url(cast)).content.decode()
    assert "What is the capital of France?" in page
    assert "Paris." in page
    assert "No idea." in page
    assert "Which response is better?" in page


@pytest.mark.parametrize("purpose", ["normal", "gate"])
def test_no_trace_of_a_policy_anywhere_in_the_response(cast, rater, comparison, purpose):
    Comparison.objects.update(purpose=purpose)
    for headers in ({}, HTMX):
        answer = rater.get(rate_url(cast), headers=headers)
        everything = answer.content.decode() + str(answer.headers) + str(answer.cookies)
        assert "zz-" not in everything
        assert not re.search(r"\b(gate|candidate|champion)\b", everything, re.IGNORECASE)
        for number in ("4321", "8765", "98.75"):
            assert number not in everything
        ids = {comparison.a.pk, comparison.b.pk}
        numbers = {int(n) for n in re.findall(r'(?:id|value|data-[\w-]+|name)="(\d+)"', everything)}
        assert not ids & numbers


def test_both_sides_occur_and_follow_the_record(cast, rater, comparison):
    sides = set()
    for _ in range(12):
        make_comparison(
            cast.project,
            a=make_completion(comparison.prompt, comparison.a.policy, "First text"),
            b=make_completion(comparison.prompt, comparison.b.policy, "Second text"),
            prompt=comparison.prompt,
        )
    for _ in range(13):
        page = rater.get(rate_url(cast)).content.decode()
        judgement = card_of(cast)
        first = judgement.comparison.b if judgement.swapped else judgement.comparison.a
        assert page.index(first.text) < page.index(
            (judgement.comparison.a if judgement.swapped else judgement.comparison.b).text
        )
        sides.add(judgement.swapped)
        rater.post(verdict_url(cast), {"choice": "tie"})
    assert sides == {True, False}


def test_a_verdict_stores_and_brings_the_next_card(cast, rater, comparison):
    make_comparison(cast.project)
    rater.get(rate_url(cast))
    first = card_of(cast)
    answer = rater.post(verdict_url(cast), {"choice": "left"}, headers=HTMX)
    assert answer.status_code == 200
    assert str(card_of(cast).code) in answer.content.decode()
    assert "<html" not in answer.content.decode()
    first.refresh_from_db()
    assert first.outcome == ("b" if first.swapped else "a")
    assert PreferencePair.objects.count() == 1


def test_without_javascript_the_verdict_leads_back_to_the_page(cast, rater, comparison):
    rater.get(rate_url(cast))
    answer = rater.post(verdict_url(cast), {"choice": "left"})
    assert answer.status_code == 302
    assert answer["Location"] == rate_url(cast)


def test_a_different_verdict_on_the_same_card_is_409_and_said(cast, rater, comparison):
    rater.get(rate_url(cast))
    url = verdict_url(cast)
    rater.post(url, {"choice": "left"}, headers=HTMX)
    answer = rater.post(url, {"choice": "right"}, headers=HTMX)
    assert answer.status_code == 409
    assert "your first verdict stays" in answer.content.decode()


def test_an_unknown_choice_is_refused(cast, rater, comparison):
    rater.get(rate_url(cast))
    assert rater.post(verdict_url(cast), {"choice": "both"}).status_code == 422
    assert card_of(cast).outcome is None


def test_anothers_card_cannot_be_judged(cast, rater, comparison, client_of):
    rater.get(rate_url(cast))
    url = verdict_url(cast)
    assert client_of(cast.colleague).post(url, {"choice": "left"}).status_code == 404
    unknown = reverse("verdict", args=[cast.project.slug, uuid4()])
    assert rater.post(unknown, {"choice": "left"}).status_code == 404


def test_undo_brings_the_card_back(cast, rater, comparison):
    rater.get(rate_url(cast))
    rater.post(verdict_url(cast), {"choice": "left"}, headers=HTMX)
    answer = rater.post(reverse("undo", args=[cast.project.slug]), headers=HTMX)
    assert "Paris." in answer.content.decode()
    assert not PreferencePair.objects.exists()


def test_nothing_to_undo_is_said_with_and_without_javascript(cast, rater, comparison):
    url = reverse("undo", args=[cast.project.slug])
    assert "nothing to undo" in rater.post(url, headers=HTMX).content.decode()
    assert "nothing to undo" in rater.post(url, follow=True).content.decode()


def test_an_empty_queue_says_why(cast, rater):
    assert "No comparisons have been prepared yet." in rater.get(rate_url(cast)).content.decode()


def test_a_stranger_sees_nothing_and_a_visitor_is_asked_to_log_in(cast, client, client_of):
    assert client_of(cast.stranger).get(rate_url(cast)).status_code == 404
    answer = client.get(rate_url(cast))
    assert answer.status_code == 302
    assert reverse("login") in answer["Location"]


def test_the_page_is_never_kept_by_a_cache(cast, rater, comparison):
    assert "no-store" in rater.get(rate_url(cast))["Cache-Control"]


def test_answers_are_shown_as_markdown_and_harmless(cast, rater):
    prompt = make_prompt(cast.project)
    policy = make_policy(cast.project)
    make_comparison(
        cast.project,
        prompt=prompt,
        a=make_completion(prompt, policy, "**bold**<script>alert(1)</script>"),
        b=make_completion(prompt, policy, "![x](https://elsewhere.example/x.png)"),
    )
    page = rater.get(rate_url(cast)).content.decode()
    assert "<strong>bold</strong>" in page
    assert "<script>alert" not in page
    assert "<img" not in page
