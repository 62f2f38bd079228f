"""From records in their many formats to prompts, completions and pairs."""

import pytest

from annotate.importing.records import (
    MAX_COMPLETION_CHARS,
    completion_from,
    pair_from,
    prompt_from,
    split_transcript,
)
from annotate.importing.refusal import FieldError


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def system(content):
    return {"role": "system", "content": content}


HELLO = [user("Hello")]
TALK = [user("Hello"), assistant("Hi."), user("Bye")]


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"prompt": "Hello"}, HELLO),
        ({"prompt": " Hello\n"}, [user(" Hello\n")]),
        ({"prompt": HELLO}, HELLO),
        ({"messages": TALK}, TALK),
        ({"prompt": "Hello", "system": "Be brief."}, [system("Be brief."), *HELLO]),
        ({"messages": TALK, "system": ""}, TALK),
        ({"prompt": "Hello", "messages": None}, HELLO),
        ({"turns": ["Hello", "Bye"]}, HELLO),
        ({"conversations": [{"from": "human", "value": "Hello"}]}, HELLO),
        (
            {
                "conversations": [
                    {"from": "system", "value": "S"},
                    {"from": "human", "value": "Hello"},
                    {"from": "gpt", "value": "Hi."},
                    {"from": "human", "value": "Bye"},
                ]
            },
            [system("S"), *TALK],
        ),
        ({"prompt": "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Bye\n\nAssistant:"}, TALK),
        ({"prompt": "\n\nHuman: Hello\n\nAssistant:"}, HELLO),
        ({"prompt": "Human: Hello\n\nAssistant:  Hi.\n\nHuman:  Bye \n\nAssistant: "}, TALK),
        (
            {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nAssistant:  c\n\nHuman: d\n\nAssistant:"},
            [user("a"), assistant("b\n\nc"), user("d")],
        ),
        ({"prompt": "Human: an essay"}, [user("Human: an essay")]),
        ({"prompt": "Who is\n\nHuman: x?"}, [user("Who is\n\nHuman: x?")]),
    ],
)
def test_prompts_are_understood(record, messages):
    assert prompt_from(record).messages == messages


def test_mt_bench_keeps_category_turns_and_reference():
    prompt = prompt_from(
        {
            "question_id": 81,
            "category": "maths",
            "turns": ["One?", "Two?"],
            "reference": ["1", "2"],
            "tags": ["mine"],
        }
    )
    assert prompt.tags == ["mine", "maths"]
    assert prompt.details == {
        "follow_ups": ["Two?"],
        "question_id": 81,
        "reference": ["1", "2"],
    }


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({}, "", "has none of prompt, messages"),
        ({"text": "Hello"}, "", "has none of prompt, messages"),
        ({"prompt": ""}, "prompt", "is empty"),
        ({"prompt": "  \n"}, "prompt", "is empty"),
        ({"prompt": 7}, "prompt", "must be text or a list of messages"),
        ({"prompt": {"role": "user"}}, "prompt", "must be text or a list of messages"),
        ({"messages": "Hello"}, "messages", "must be a list of messages"),
        ({"messages": []}, "messages", "is empty"),
        ({"messages": [user("a"), user("")]}, "messages[1].content", "is empty"),
        ({"messages": [user("a"), assistant("b")]}, "messages[1].role", "from the user"),
        ({"messages": ["a"]}, "messages[0]", "expected an object"),
        ({"prompt": "a", "messages": HELLO}, "messages", "is given together with prompt"),
        ({"turns": []}, "turns", "must be a list of texts"),
        ({"turns": "Hello"}, "turns", "must be a list of texts"),
        ({"turns": ["a", 1]}, "turns", "must hold only texts"),
        ({"conversations": [{"from": "bing", "value": "a"}]}, "conversations[0].role", "one of"),
        ({"conversations": [{"from": "human"}]}, "conversations[0].content", "must be text"),
        ({"prompt": "a", "system": 1}, "system", "must be text"),
        ({"messages": [system("a"), user("b")], "system": "c"}, "system", "of its own"),
        ({"prompt": "a", "tags": "x"}, "tags", "must be a list of texts"),
        ({"prompt": "a", "tags": ["x" * 51]}, "tags", "at most 20"),
        ({"prompt": "Human: a\n\nAssistant: b"}, "prompt", "from the user"),
    ],
)
def test_bad_prompts_are_refused(record, field, reason):
    with pytest.raises(FieldError) as caught:
        prompt_from(record)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"prompt": "a", "completion": " b"}, " b"),
        ({"prompt": "a", "text": "b"}, "b"),
        ({"messages": HELLO, "response": "b"}, "b"),
        ({"prompt": HELLO, "completion": [assistant("b")]}, "b"),
        ({"prompt": "\n\nHuman: a\n\nAssistant:", "completion": " b"}, "b"),
    ],
)
def test_completions_are_understood(record, text):
    assert completion_from(record).text == text


def test_what_is_known_about_a_draw_is_kept():
    known = {
        "model": "org/m",
        "sampling": {"temperature": 0.5},
        "seed": 7,
        "finish_reason": "stop",
        "token_count": 3,
        "logprob": -1.5,
    }
    row = completion_from({"prompt": "a", "completion": "b", **known})
    assert {name: getattr(row, name) for name in known} == known


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"completion": "b"}, ""),
        ({"prompt": "a"}, "completion"),
        ({"prompt": "a", "completion": "b", "text": "b"}, "completion"),
        ({"prompt": "a", "completion": None}, "completion"),
        ({"prompt": "a", "completion": [user("b")]}, "completion.role"),
        ({"prompt": "a", "completion": [assistant("b")] * 2}, "completion"),
        ({"prompt": "a", "completion": "b" * (MAX_COMPLETION_CHARS + 1)}, "completion"),
        ({"prompt": "a", "completion": "b", "model": 1}, "model"),
        ({"prompt": "a", "completion": "b", "sampling": "greedy"}, "sampling"),
        ({"prompt": "a", "completion": "b", "seed": -1}, "seed"),
        ({"prompt": "a", "completion": "b", "seed": 2**63}, "seed"),
        ({"prompt": "a", "completion": "b", "seed": 1.0}, "seed"),
        ({"prompt": "a", "completion": "b", "seed": True}, "seed"),
        ({"prompt": "a", "completion": "b", "token_count": 2**31}, "token_count"),
        ({"prompt": "a", "completion": "b", "logprob": "low"}, "logprob"),
        ({"prompt": "a", "completion": "b", "logprob": 10**400}, "logprob"),
        ({"prompt": "a", "completion": "b", "finish_reason": "x" * 21}, "finish_reason"),
    ],
)
def test_bad_completions_are_refused(record, field):
    with pytest.raises(FieldError) as caught:
        completion_from(record)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("record", "messages", "chosen", "rejected"),
    [
        ({"prompt": "Hello", "chosen": " Hi.", "rejected": "Go"}, HELLO, " Hi.", "Go"),
        (
            {"prompt": TALK, "chosen": [assistant("Hi.")], "rejected": [assistant("Go")]},
            TALK,
            "Hi.",
            "Go",
        ),
        ({"prompt": TALK, "chosen": "Hi.", "rejected": assistant("Go")}, TALK, "Hi.", "Go"),
        (
            {"chosen": [*TALK, assistant("Hi.")], "rejected": [*TALK, assistant("Go")]},
            TALK,
            "Hi.",
            "Go",
        ),
        (
            {
                "prompt": "Hello",
                "chosen": [*HELLO, assistant("Hi.")],
                "rejected": [*HELLO, assistant("Go")],
            },
            HELLO,
            "Hi.",
            "Go",
        ),
        (
            {
                "conversations": [{"from": "human", "value": "Hello"}],
                "chosen": {"from": "gpt", "value": "Hi."},
                "rejected": {"from": "gpt", "value": "Go"},
            },
            HELLO,
            "Hi.",
            "Go",
        ),
        (
            {
                "prompt": "\n\nHuman: Hello\n\nAssistant:",
                "chosen": " Hi.",
                "rejected": " Go. ",
            },
            HELLO,
            "Hi.",
            "Go.",
        ),
        (
            {
                "chosen": "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Bye\n\nAssistant: So long.",
                "rejected": "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Bye\n\nAssistant: Go.",
            },
            TALK,
            "So long.",
            "Go.",
        ),
        (
            {
                "system": "S",
                "chosen": [*HELLO, assistant("Hi.")],
                "rejected": [*HELLO, assistant("Go")],
            },
            [system("S"), *HELLO],
            "Hi.",
            "Go",
        ),
    ],
)
def test_pairs_are_understood(record, messages, chosen, rejected):
    pair = pair_from(record)
    assert (pair.prompt.messages, pair.chosen, pair.rejected) == (messages, chosen, rejected)


def test_weight_and_agreement_default_to_one():
    pair = pair_from({"prompt": "a", "chosen": "b", "rejected": "c"})
    assert (pair.weight, pair.agreement) == (1.0, 1.0)


def test_weight_and_agreement_are_taken():
    pair = pair_from(
        {"prompt": "a", "chosen": "b", "rejected": "c", "weight": 0.5, "agreement": 0.8}
    )
    assert (pair.weight, pair.agreement) == (0.5, 0.8)


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({"prompt": "a", "rejected": "c"}, "chosen", "missing"),
        ({"prompt": "a", "chosen": "c"}, "rejected", "missing"),
        ({"chosen": "b", "rejected": "c"}, "prompt", "missing"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "rejected", "same text"),
        ({"prompt": "a", "chosen": "b", "rejected": " b\n"}, "rejected", "same text"),
        ({"prompt": "a", "chosen": 1, "rejected": "b"}, "chosen", "must be text"),
        ({"prompt": "a", "chosen": "b", "rejected": None}, "rejected", "must be text"),
        ({"prompt": "a", "chosen": [], "rejected": "b"}, "chosen", "has 0 messages"),
        ({"prompt": "a", "chosen": [user("b")], "rejected": "c"}, "chosen.role", "assistant"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "weight": 2}, "weight", "from 0 to 1"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "weight": "1"}, "weight", "a number"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "weight": True}, "weight", "a number"),
        (
            {"chosen": [*HELLO, assistant("b")], "rejected": [user("x"), assistant("c")]},
            "rejected",
            "only in the last message",
        ),
        (
            {"chosen": [*HELLO, user("b")], "rejected": [*HELLO, user("c")]},
            "chosen[1].role",
            "assistant",
        ),
        (
            {
                "prompt": "Bye",
                "chosen": [*HELLO, assistant("b")],
                "rejected": [*HELLO, assistant("c")],
            },
            "prompt",
            "is not the conversation",
        ),
        ({"prompt": "a", "chosen": ["x", "y"], "rejected": ["x", "z"]}, "chosen", "messages"),
    ],
)
def test_bad_pairs_are_refused(record, field, reason):
    with pytest.raises(FieldError) as caught:
        pair_from(record)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize("text", ["", "Hello", "Human: Hello", "Assistant: Hello", "a Human: b"])
def test_other_text_is_no_transcript(text):
    assert split_transcript(text) is None
