"""Endpoint responses are parsed strictly; and how long to wait before the next try."""

import json

import pytest

from training.endpoints.answers import (
    EndpointAnswer,
    EndpointError,
    RetryPolicy,
    endpoint_error_of,
    error_words,
    read_answer,
    seconds_of,
)


def body(**changes):
    choice = {"message": {"content": "Paris."}, "finish_reason": "stop", **changes}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}})


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({}, EndpointAnswer("Paris.", "stop", 5, 2)),
        ({"finish_reason": "length"}, EndpointAnswer("Paris.", "length", 5, 2)),
        ({"finish_reason": None}, EndpointAnswer("Paris.", "", 5, 2)),
        ({"message": {"content": None, "refusal": "No."}}, EndpointAnswer("No.", "stop", 5, 2)),
        ({"message": {"content": None}}, EndpointAnswer("", "stop", 5, 2)),
    ],
)
def test_an_answer_is_read(changes, answer):
    assert read_answer(body(**changes).encode()) == answer


@pytest.mark.parametrize(
    "usage", [None, 3, {}, {"completion_tokens": -1}, {"completion_tokens": 1e99}]
)
def test_tokens_that_were_not_told_are_unknown(usage):
    answer = json.loads(body())
    answer["usage"] = usage
    assert read_answer(json.dumps(answer).encode()).completion_tokens is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b"null",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": {"content": ["a"]}}]}',
        b'{"choices": {"0": 1}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_trouble_that_may_pass(raw):
    with pytest.raises(EndpointError) as caught:
        read_answer(raw)
    assert caught.value.kind == "passing"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "", "prompt"),
        (401, "", "endpoint"),
        (402, "", "endpoint"),
        (403, "", "endpoint"),
        (404, "", "endpoint"),
        (408, "", "passing"),
        (413, "", "prompt"),
        (422, "", "prompt"),
        (429, "", "passing"),
        (429, "insufficient_quota", "endpoint"),
        (500, "", "passing"),
        (503, "", "passing"),
    ],
)
def test_a_status_says_who_is_in_trouble(status, code, kind):
    assert endpoint_error_of(status, {"error": {"code": code}}).kind == kind


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"error": {"message": "no\nmore \x1b[31mred"}}, "no more [31mred"),
        ({"error": "plain"}, "plain"),
        ({"detail": "of FastAPI"}, "of FastAPI"),
        ({"message": "older vLLM"}, "older vLLM"),
        ({"error": {"message": 5}}, ""),
        ("text", ""),
        (None, ""),
        ({"error": "x" * 5000}, "x" * 299 + "…"),
    ],
)
def test_what_the_endpoint_said_is_one_short_line(answer, message):
    assert error_words(answer) == message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", None), ("5", 5), ("0.5", 0.5), ("-1", None), ("nan", None), ("Fri, 01 Jan", None)],
)
def test_the_wait_that_is_asked_for(header, seconds):
    assert seconds_of(header) == seconds


@pytest.mark.parametrize(
    ("tried", "asked", "luck", "seconds"),
    [
        (1, None, 1, 1),
        (2, None, 1, 2),
        (5, None, 1, 16),
        (20, None, 1, 60),
        (5, None, 0, 12),
        (1, 30, 1, 30),
        (1, 0, 1, 1),
        (1, 86_400, 1, 60),
    ],
)
def test_waits_double_up_to_a_limit(tried, asked, luck, seconds):
    assert RetryPolicy().wait(tried, asked, luck) == seconds
