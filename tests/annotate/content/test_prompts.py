"""What a valid prompt is, when two are the same, which are held out."""

import unicodedata

import pytest

from annotate.content import prompts
from annotate.content.prompts import (
    LINES_COUNT,
    RUNS_OF_SPACE,
    MessagesError,
    NewPrompt,
    check_messages,
    is_held_out,
    prompt_digest,
    splits_off,
    store_prompts,
)
from annotate.models import Project, Prompt
from tests.factories import make_project


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Yes."}


@pytest.fixture
def project(db):
    return Project.objects.create(slug="demo", name="Demo")


@pytest.mark.parametrize(
    "messages",
    [
        [user("Hello")],
        [SYSTEM, user("Hello")],
        [SYSTEM, user("Hello"), ANSWER, user(" And?\n")],
    ],
)
def test_good_messages_come_back_byte_for_byte(messages):
    assert check_messages(messages) == messages


def test_other_keys_are_left_behind():
    assert check_messages([user("Hi") | {"weight": 1}]) == [user("Hi")]


@pytest.mark.parametrize(
    ("messages", "field", "reason"),
    [
        ("Hello", "", "expected a list"),
        ([], "", "empty"),
        ([user("a")] * (prompts.MAX_MESSAGES + 1), "", "at most 200"),
        (["Hello"], "[0]", "expected an object"),
        ([{"role": "tool", "content": "x"}], "[0].role", "must be one of"),
        ([{"role": ["user"], "content": "x"}], "[0].role", "must be one of"),
        ([{"content": "x"}], "[0].role", "must be one of"),
        ([{"role": "user"}], "[0].content", "must be text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "[0].content", "must be text"),
        ([user(" \n")], "[0].content", "empty"),
        ([user("a"), SYSTEM, user("b")], "[1].role", "only come first"),
        ([user("a"), ANSWER], "[1].role", "not from the assistant"),
        ([SYSTEM], "[0].role", "not from the system"),
        ([user("a\0b")], "[0].content", "NUL"),
        ([user("a\ud800")], "[0].content", "surrogate"),
        ([user("a" * (prompts.MAX_MESSAGE_CHARS + 1))], "[0].content", "at most 100,000"),
        ([user("a" * prompts.MAX_MESSAGE_CHARS)] * 3, "", "at most 200,000"),
    ],
)
def test_bad_messages_are_refused_with_place_and_reason(messages, field, reason):
    with pytest.raises(MessagesError) as caught:
        check_messages(messages)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Hello  world\n", " Hello world"),
        ("a\u00a0b", "a b"),
        ("café", unicodedata.normalize("NFD", "café")),
    ],
)
def test_digest_overlooks_white_space_and_composition(text, other):
    assert prompt_digest([user(text)]) == prompt_digest([user(other)])


@pytest.mark.parametrize(
    ("messages", "other"),
    [
        ([user("Hello")], [user("hello")]),
        ([user("Hello")], [SYSTEM, user("Hello")]),
        ([user("a"), ANSWER, user("b")], [user("a"), user("Yes."), user("b")]),
        ([user("a b"), user("c")], [user("a"), user("b c")]),
    ],
)
def test_digest_tells_other_prompts_apart(messages, other):
    assert prompt_digest(messages) != prompt_digest(other)


def test_digest_stays_the_same_over_versions():
    # A change here would let held-out prompts of existing projects slip into training.
    assert prompt_digest([user("What is the capital of France?")]) == (
        "6ae9fbf27cddf27e8fc1a278293cbe3f08e3e675afa931114665fcec62865a1a"
    )


def test_held_out_share_is_about_the_percentage():
    digests = [prompt_digest([user(f"question {number}")]) for number in range(2000)]
    held = [sum(is_held_out(digest, percent) for digest in digests) for percent in (0, 20, 50)]
    assert held[0] == 0
    assert 340 < held[1] < 460
    assert 920 < held[2] < 1080


def test_a_larger_percentage_keeps_what_a_smaller_held_out():
    digests = [prompt_digest([user(f"question {number}")]) for number in range(500)]
    for small, large in ((5, 20), (20, 21), (21, 50)):
        assert all(is_held_out(d, large) for d in digests if is_held_out(d, small))


def test_storing_twice_stores_once(project):
    rows = [NewPrompt(messages=[user("Hello")]), NewPrompt(messages=[user("Bye")], tags=["x"])]
    first = store_prompts(project=project, prompts=rows, source="a.jsonl")
    again = store_prompts(project=project, prompts=rows, source="b.jsonl")
    assert (first.new, again.new) == (2, 0)
    assert first.ids == again.ids
    assert set(Prompt.objects.values_list("source", flat=True)) == {"a.jsonl"}


def test_held_out_is_stored_and_counted(project):
    rows = [NewPrompt(messages=[user(f"question {number}")]) for number in range(100)]
    stored = store_prompts(project=project, prompts=rows)
    held = Prompt.objects.filter(is_held_out=True)
    assert stored.held_out == held.count() > 0
    assert all(splits_off(prompt.messages, project) for prompt in held)


# --- the second rule ---

INDENTED = "Is this right?\n\nif x:\n    y()\n    z()"


@pytest.mark.parametrize(
    ("text", "other", "same"),
    [
        (INDENTED, INDENTED.replace("    z", "z"), False),
        ("one\ntwo", "one two", False),
        ("a  b", "a b", False),
        ("one  \ntwo\n", "one\ntwo", True),
        ("caf\u00e9", "cafe\u0301", True),
    ],
)
def test_line_breaks_and_indentation_make_other_prompts(text, other, same):
    digests = [prompt_digest([user(each)], LINES_COUNT) for each in (text, other)]
    assert (digests[0] == digests[1]) is same


def test_prompts_without_lines_and_indentation_have_the_digest_that_they_had():
    messages = [user("What is the capital of France?")]
    assert prompt_digest(messages, LINES_COUNT) == prompt_digest(messages)


def test_near_doubles_are_never_on_both_sides():
    project = Project(held_out_percent=40)
    assert project.prompt_rule == LINES_COUNT
    sides = set()
    for number in range(200):
        asked = f"How do I fix error {number}?"
        doubles = [
            [user(asked)],
            [user(asked.upper())],
            [user(f"  how do I fix: error {number} ")],
            [{"role": "system", "content": "Be brief."}, user(asked)],
            [user(asked), {"role": "assistant", "content": "Like so."}, user("And then?")],
        ]
        (side,) = {splits_off(messages, project) for messages in doubles}
        sides.add(side)
    assert sides == {True, False}


@pytest.mark.django_db
def test_an_older_project_keeps_its_rule():
    project = make_project(prompt_rule=RUNS_OF_SPACE)
    rows = [NewPrompt(messages=[user(text)]) for text in ("a\nb", "a b")]
    assert store_prompts(project=project, prompts=rows).new == 1
    newer = make_project(prompt_rule=LINES_COUNT)
    assert store_prompts(project=newer, prompts=rows).new == 2
