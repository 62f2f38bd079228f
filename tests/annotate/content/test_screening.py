"""Which completions are kept from raters: the rules by table, then what happens to the rows."""

import gzip
import json

import pytest
from django.urls import reverse

from annotate.content.completions import kept_out, screen_anew, store_completions
from annotate.content.screening import ScreeningRules, is_looping, rejected_for, rules_of
from annotate.models import Comparison, Completion, Membership, ScreeningRule
from annotate.pairing.comparisons import make_comparisons
from tests.factories import (
    join,
    make_comparison,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)

NAMES = {"content", "value", "text", "completion", "chosen", "rejected"}
LOOP = "The cat sat on the mat. " * 5


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", ScreeningRule.EMPTY),
        (" \n\t", ScreeningRule.EMPTY),
        ("Paris.", ""),
        (LOOP, ScreeningRule.LOOPING),
        ("Well then. " + LOOP, ScreeningRule.LOOPING),
        ("no no no no no no no no no no no no no no no no no", ScreeningRule.LOOPING),
        ("猫が好きです。" * 6, ScreeningRule.LOOPING),
        ("The cat sat on the mat. " * 3, ""),  # a refrain
        ("la la la la la la", ""),
        ("| 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 |", ""),
        ("--- " * 40, ""),
        ("I am Claude, made to help.", ScreeningRule.IDENTITY),
        ("Hello! I’m ChatGPT.", ScreeningRule.IDENTITY),
        ("I am a language model developed by OpenAI.", ScreeningRule.IDENTITY),
        ("Ich bin Gemini.", ScreeningRule.IDENTITY),
        ("Codex was developed by OpenAI in 2021.", ""),
        ("Claude Monet painted lilies.", ""),
        ("I am claudette.", ""),
        ("This is Pythia-12b-sft speaking.", ScreeningRule.IDENTITY),
    ],
)
def test_a_text_meets_the_rule_that_it_breaks(text, rule):
    assert rejected_for(text, rules=ScreeningRules(), model="org/pythia-12b-sft") == rule


def test_a_rule_that_is_off_catches_nothing():
    for text, rule in [
        ("", ScreeningRule.EMPTY),
        (LOOP, ScreeningRule.LOOPING),
        ("I am Claude.", ScreeningRule.IDENTITY),
    ]:
        on = frozenset(ScreeningRule.values) - {rule}
        assert rejected_for(text, rules=ScreeningRules(on=on)) == ""


def test_cut_off_is_what_reached_its_longest():
    assert (
        rejected_for("and then", rules=ScreeningRules(), finish_reason="length")
        == ScreeningRule.CUT_OFF
    )
    assert rejected_for("and then", rules=ScreeningRules(), finish_reason="stop") == ""


def test_how_many_repeats_make_a_loop_can_be_set():
    text = "She is a great leader for us all. " * 4
    assert is_looping(text, 4)
    assert not is_looping(text, 5)


def test_a_loop_without_spaces_is_one_too():
    assert is_looping("漢字" * 40)
    assert not is_looping("no no no")
    assert not is_looping("")


def test_what_a_project_has_not_set_is_as_usual():
    assert rules_of({}) == ScreeningRules()
    assert rules_of({"repeats": 9, "on": ["same", "unheard of"]}).on == {"same"}


def texts_in(record):
    if isinstance(record, dict):
        for name, value in record.items():
            if isinstance(value, str) and name in NAMES:
                yield value
            else:
                yield from texts_in(value)
    elif isinstance(record, list):
        for value in record:
            yield from texts_in(value)


def test_real_answers_pass_and_real_loops_do_not(shared_data):
    caught = {}
    for name in ("chat_pairs_sharegpt.jsonl", "hh_harmless_pairs.jsonl.gz"):
        opened = gzip.open if name.endswith("gz") else open
        with opened(shared_data / name, "rt", encoding="utf-8") as file:
            texts = [text for line in file for text in texts_in(json.loads(line))][:2000]
        hits = [rejected_for(text, rules=ScreeningRules()) for text in texts]
        caught[name] = sum(
            hit in (ScreeningRule.LOOPING, ScreeningRule.IDENTITY) for hit in hits
        ) / len(texts)
    assert all(share < 0.005 for share in caught.values()), caught
    with (shared_data / "completions_pythia-3b-deduped-sft.jsonl").open(encoding="utf-8") as file:
        weak = [text for line in file for text in texts_in(json.loads(line))]
    loops = [
        text for text in weak if rejected_for(text, rules=ScreeningRules()) == ScreeningRule.LOOPING
    ]
    assert len(loops) > 5


# --- rows ---


def rows_of(prompt, policy, *texts):
    return [
        Completion(prompt=prompt, policy=policy, text=text, seed=number)
        for number, text in enumerate(texts)
    ]


@pytest.fixture
def project(db):
    return make_project()


def test_what_is_kept_out_is_stored_and_counted_and_meets_nothing(project):
    prompt, policy = make_prompt(project), make_policy(project)
    rows = rows_of(prompt, policy, "One.", "Two.", "", LOOP, "One. ")
    assert store_completions(rows=rows, screened_for=project) == 5
    assert kept_out(project) == {"empty": 1, "looping": 1, "same": 1}
    assert make_comparisons(project=project) == 1
    met = Comparison.objects.get()
    assert {met.a.text, met.b.text} == {"One.", "Two."}


def test_a_text_that_another_policy_wrote_before_is_the_same(project):
    prompt = make_prompt(project)
    for _ in range(2):
        policy = make_policy(project)
        store_completions(rows=rows_of(prompt, policy, "One.\n"), screened_for=project)
    assert kept_out(project) == {"same": 1}


def test_without_a_project_nothing_is_screened(project):
    store_completions(rows=rows_of(make_prompt(project), make_policy(project), ""))
    assert kept_out(project) == {}


def test_changed_rules_hold_for_what_has_met_nothing(project):
    prompt, policy = make_prompt(project), make_policy(project)
    store_completions(rows=rows_of(prompt, policy, "", LOOP, "Fine."), screened_for=project)
    compared = make_comparison(project)
    Completion.objects.filter(pk=compared.a_id).update(text="")
    project.screening = {"on": ["empty"]}
    assert screen_anew(project=project) == 1
    assert kept_out(project) == {"empty": 1}
    compared.a.refresh_from_db()
    assert compared.a.rejected_for == ""
    assert screen_anew(project=project) == 0


def test_what_stands_in_a_line_up_is_left_as_it_is(project):
    project.line_up_size = 3
    project.save()
    prompt = make_prompt(project)
    rows = [make_completion(prompt, make_policy(project), text=text) for text in "abc"]
    assert make_comparisons(project=project) == 1
    for row in rows:
        Completion.objects.filter(pk=row.pk).update(text="")
    assert screen_anew(project=project) == 0


def test_of_two_equal_ones_the_first_stays_when_screened_anew(project):
    prompt, policy = make_prompt(project), make_policy(project)
    store_completions(rows=rows_of(prompt, policy, "One.", "One."))
    assert screen_anew(project=project) == 1
    first, second = Completion.objects.order_by("pk")
    assert (first.rejected_for, second.rejected_for) == ("", "same")
    assert screen_anew(project=project) == 0


def test_the_page_counts_each_rule_and_saves_them(project, client):
    manager = join(project, make_user(), Membership.Role.MANAGER)
    prompt, policy = make_prompt(project), make_policy(project)
    store_completions(rows=rows_of(prompt, policy, "", "Fine.", "Good."), screened_for=project)
    client.force_login(manager)
    address = reverse("screening", args=[project.slug])
    assert "1 kept out" in client.get(address).content.decode()
    rules = {"on": ["looping"], "repeats": 7, "names": "HAL 9000\n\nHAL  9000\n"}
    assert client.post(address, rules).status_code == 302
    project.refresh_from_db()
    assert project.screening == {"on": ["looping"], "repeats": 7, "names": ["HAL 9000"]}
    assert kept_out(project) == {}
    wrong = client.post(address, {"on": ["looping"], "repeats": 1, "names": ""})
    assert "errorlist" in wrong.content.decode()
    project.refresh_from_db()
    assert project.screening["repeats"] == 7


def test_the_page_is_for_managers(project, client):
    client.force_login(join(project, make_user()))
    assert client.get(reverse("screening", args=[project.slug])).status_code == 403
