"""What a valid prompt is, when two are the same, which are held out."""

import unicodedata

import pytest

from annotate.content import prompts
from annotate.content.prompts import (
    MessagesError,
    NewPrompt,
    check_messages,
    is_held_out,
    prompt_digest,
    store_prompts,
)
from annotate.models import Project, Prompt


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
    assert all(is_held_out(prompt.digest, project.held_out_percent) for prompt in held)
