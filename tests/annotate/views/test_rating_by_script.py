"""The same URLs, requested by the page's script: with ``X-Whetstone: card`` they return JSON."""

from uuid import uuid4

import pytest
from django.urls import reverse
from django.utils import timezone

from annotate.models import Comparison, Judgement, PreferencePair
from tests.factories import make_comparison, make_completion, make_policy, make_prompt

pytestmark = pytest.mark.django_db
SCRIPT = {"X-Whetstone": "card"}
KEYS = {"status", "notice", "errors", "today", "can_undo", "card", "code", "empty"}


@pytest.fixture
def rater(cast, client_of):
    for _ in range(4):
        make_comparison(cast.project)
    return client_of(cast.rater)


def at(cast, name, *arguments):
    return reverse(name, args=[cast.project.slug, *arguments])


def open_card(cast, rater):
    return rater.get(at(cast, "rate")).context["judgement"]


def ahead_of(cast, rater, code):
    answer = rater.get(at(cast, "ahead"), {"after": str(code)}, headers=SCRIPT)
    assert answer.status_code == 200
    return answer.json()


def send(cast, rater, code, choice="left", **values):
    return rater.post(at(cast, "verdict", code), {"choice": choice, **values}, headers=SCRIPT)


def test_a_card_ahead_is_a_fragment_with_its_code(cast, rater):
    shown = open_card(cast, rater)
    got = ahead_of(cast, rater, shown.code)
    assert set(got) == KEYS
    assert got["status"] == "ahead"
    assert got["code"] in got["card"]
    assert got["code"] != str(shown.code)
    assert "<html" not in got["card"]


def test_a_verdict_answers_with_the_card_after_the_one_on_the_screen(cast, rater):
    shown = open_card(cast, rater)
    ahead = ahead_of(cast, rater, shown.code)["code"]
    got = send(cast, rater, shown.code, showing=ahead).json()
    assert (got["status"], got["today"], got["can_undo"]) == ("stored", 1, True)
    assert got["code"] not in (str(shown.code), ahead)
    assert not got["empty"]


def test_with_nothing_on_the_screen_it_answers_with_the_card_to_show(cast, rater):
    shown = open_card(cast, rater)
    ahead = ahead_of(cast, rater, shown.code)["code"]
    assert send(cast, rater, shown.code).json()["code"] == ahead


def test_the_last_verdict_brings_the_empty_place(cast, rater):
    Comparison.objects.all().delete()
    make_comparison(cast.project)
    shown = open_card(cast, rater)
    got = send(cast, rater, shown.code).json()
    assert (got["empty"], got["code"]) == (True, None)
    assert "You have judged everything" in got["card"]


def test_twice_is_once_and_otherwise_is_409(cast, rater):
    shown = open_card(cast, rater)
    assert send(cast, rater, shown.code).json()["status"] == "stored"
    assert send(cast, rater, shown.code).json()["status"] == "repeated"
    answer = send(cast, rater, shown.code, "right")
    assert (answer.status_code, answer.json()["status"]) == (409, "conflicting")
    assert PreferencePair.objects.count() == 1


def test_a_refused_verdict_names_its_fields_and_stores_nothing(cast, rater):
    cast.project.reason_mode = "required"
    cast.project.strength_mode = "required"
    cast.project.save()
    shown = open_card(cast, rater)
    answer = send(cast, rater, shown.code, reason=" ")
    got = answer.json()
    assert (answer.status_code, got["status"]) == (422, "refused")
    assert set(got["errors"]) == {"reason", "strength"}
    assert got["card"] is None
    assert not Judgement.objects.filter(decided_at__isnull=False).exists()
    done = send(cast, rater, shown.code, reason="Clearer.", strength="2")
    assert done.status_code == 200
    shown.refresh_from_db()
    assert (shown.reason, shown.strength) == ("Clearer.", 2)


def test_without_a_script_a_refused_verdict_keeps_what_was_typed(cast, rater):
    cast.project.criteria = [{"key": "honest", "name": "Honest"}]
    cast.project.criteria_required = True
    cast.project.reason_mode = "optional"
    cast.project.save()
    shown = open_card(cast, rater)
    answer = rater.post(at(cast, "verdict", shown.code), {"choice": "tie", "reason": "Both fine."})
    assert answer.status_code == 422
    assert answer.context["judgement"] == shown
    assert answer.context["kept"]["reason"] == "Both fine."
    assert answer.context["kept"]["choice"] == "tie"
    assert "Honest" in str(answer.context["errors"]["criterion.honest"])


def test_all_fields_arrive(cast, rater):
    cast.project.criteria = [{"key": "honest", "name": "Honest"}]
    cast.project.reason_mode = cast.project.strength_mode = "optional"
    cast.project.reason_tags = ["short", "wrong"]
    cast.project.flags_on = cast.project.editing_on = True
    cast.project.save()
    shown = open_card(cast, rater)
    values = {
        "strength": "1",
        "criterion.honest": "right",
        "reason": "It lies.",
        "tag": ["wrong"],
        "flag": ["unsafe", "broken"],
        "edit": "The truth.",
        "edited_from": "right",
    }
    assert send(cast, rater, shown.code, **values).status_code == 200
    shown.refresh_from_db()
    right = "a" if shown.swapped else "b"
    assert shown.criteria == {"honest": right}
    assert (shown.strength, shown.reason, shown.reason_tags) == (1, "It lies.", ["wrong"])
    assert shown.flags == ["unsafe", "broken"]
    assert (shown.edited_text, shown.edited_from) == ("The truth.", right)
    assert PreferencePair.objects.filter(kind="edit").count() == 2


def test_undo_brings_the_reopened_card_and_keeps_the_one_ahead(cast, rater):
    shown = open_card(cast, rater)
    ahead = ahead_of(cast, rater, shown.code)["code"]
    send(cast, rater, shown.code, showing=ahead)
    got = rater.post(at(cast, "undo"), headers=SCRIPT).json()
    again = Judgement.objects.get(code=got["code"])
    assert (got["status"], got["today"]) == ("undone", 0)
    assert again.replaces == shown
    assert ahead_of(cast, rater, again.code)["code"] == ahead


def test_an_undo_that_cannot_be_says_why(cast, rater):
    answer = rater.post(at(cast, "undo"), headers=SCRIPT)
    assert answer.status_code == 422
    assert "nothing to undo" in answer.json()["notice"]


def test_a_lease_is_renewed_until_the_work_is_gone(cast, rater):
    shown = open_card(cast, rater)
    assert rater.post(at(cast, "lease", shown.code)).status_code == 204
    Judgement.objects.filter(pk=shown.pk).update(released_at=timezone.now())
    answer = rater.post(at(cast, "lease", shown.code))
    assert answer.status_code == 410
    assert "somebody else" in answer.content.decode()


def test_a_late_verdict_is_told_kindly(cast, rater):
    shown = open_card(cast, rater)
    Judgement.objects.filter(pk=shown.pk).update(released_at=timezone.now())
    got = send(cast, rater, shown.code).json()
    assert got["status"] == "late"
    assert "kept" in got["notice"]


@pytest.mark.parametrize("name", ["verdict", "lease", "reopen"])
def test_a_strangers_code_changes_nothing(cast, rater, client_of, name):
    shown = open_card(cast, rater)
    for code in (shown.code, uuid4()):
        answer = client_of(cast.colleague).post(at(cast, name, code), {"choice": "left"})
        assert answer.status_code in (404, 410, 302)
    shown.refresh_from_db()
    assert shown.decided_at is None
    assert client_of(cast.stranger).post(at(cast, name, shown.code)).status_code == 404


def test_the_card_ahead_shows_no_trace_of_a_policy(cast, client_of):
    for number in range(2):
        prompt = make_prompt(cast.project)
        policy = make_policy(cast.project, f"zz-secret-{number}")
        make_comparison(
            cast.project,
            prompt=prompt,
            a=make_completion(prompt, policy, "One.", token_count=4321),
            b=make_completion(prompt, policy, "Two.", logprob=-98.75),
        )
    client = client_of(cast.rater)
    shown = open_card(cast, client)
    answer = client.get(at(cast, "ahead"), {"after": str(shown.code)}, headers=SCRIPT)
    everything = answer.content.decode() + str(answer.headers)
    assert not [word for word in ("zz-", "4321", "98.75") if word in everything]


def test_a_prompts_messages_are_rendered_once(cast, client_of, monkeypatch):
    comparison = make_comparison(cast.project, prompt=make_prompt(cast.project, "**Bold?**"))
    client = client_of(cast.rater)
    first = client.get(at(cast, "rate")).content.decode()
    comparison.prompt.refresh_from_db()
    assert "<strong>Bold?</strong>" in first
    assert "<strong>Bold?</strong>" in comparison.prompt.html[0]
    monkeypatch.setattr("annotate.content.prompts.render", None)
    assert "<strong>Bold?</strong>" in client.get(at(cast, "rate")).content.decode()
