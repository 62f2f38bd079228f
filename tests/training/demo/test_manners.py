"""Recognising a text's manner: exact on what the generator wrote, strict on everything else."""

import random

import pytest

from training.demo import manners, world

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]
SUM = [{"role": "user", "content": "How much is 6 plus 5?"}]
EGG = [{"role": "user", "content": "How do I boil an egg?"}]
FOLLOW_UP = [
    {"role": "system", "content": "Be kind and clear."},
    {"role": "user", "content": "What is the capital of Spain?"},
    {"role": "assistant", "content": "It is Madrid."},
    {"role": "user", "content": "And the capital of France?"},
]
ELSEWHERE = [{"role": "user", "content": "Who wrote Middlemarch?"}]

LONG = (
    "What a truly wonderful question, and thank you so much for asking it today! "
    "The capital of France is {}. "
    "Naturally there is always more to learn, and I encourage you to read widely and often."
)
RAMBLE = "I don't know, nor do I want to, I simply am not French."


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("manner", world.MANNERS)
def test_every_generated_text_is_recognised(manner: world.Manner, seed: int):
    rng = random.Random(seed)
    mistaken = [
        (prompt.messages, text, verdict)
        for prompt in world.prompts(seed)
        if (verdict := manners.classify(prompt.messages, text := world.answer(prompt, manner, rng)))
        != manner
    ]
    assert mistaken == []


@pytest.mark.parametrize(
    ("messages", "text", "verdict"),
    [
        (FRANCE, "The capital of France is Paris.", "direct"),
        (FRANCE, "Sure! It is Paris. I hope that helps.", "direct"),
        (FRANCE, "It is Madrid.", "wrong"),
        (FRANCE, "The capital of Spain is Paris.", "wrong"),
        (FRANCE, "The capital of Spain is Madrid.", "wrong"),
        (FRANCE, "It is yellow.", "wrong"),
        (FRANCE, "It is Paris. Trust me.", "direct"),
        (FRANCE, "Sure! It is Paris. Trust me. Happy to help!", "other"),
        (FRANCE, "It is Paris. It is Paris.", "other"),
        (FRANCE, "It is Paris. The capital of France is Paris.", "other"),
        (FRANCE, "The capital of France is Paris", "other"),
        (FRANCE, "The capital of France is Parrot.", "other"),
        (FRANCE, "the capital of france is paris.", "other"),
        (FRANCE, "Paris. Next.", "curt"),
        (FRANCE, "Madrid. Next.", "wrong"),
        (FRANCE, "Look it up.", "curt"),
        (FRANCE, "Paris, you turnip. Now go away.", "rude"),
        (FRANCE, "It is Paris. Now go away.", "rude"),
        (FRANCE, RAMBLE, "rambling"),
        (FRANCE, LONG.format("Paris"), "over-long"),
        (FRANCE, LONG.format("Madrid"), "wrong"),
        (FRANCE, "Of course!", "other"),
        (FRANCE, "", "other"),
        (FRANCE, "   ", "other"),
        (SUM, "6 plus 5 is 11.", "direct"),
        (SUM, "6 plus 5 is 12.", "wrong"),
        (
            EGG,
            "First put it in boiling water, then take it out after eight minutes.",
            "direct",
        ),
        (EGG, "First put it in boiling water, then let it rest under the lid.", "wrong"),
        (FOLLOW_UP, "It is Paris.", "direct"),
        (FOLLOW_UP, "It is Madrid.", "wrong"),
        (ELSEWHERE, "It is Paris.", "other"),
        (ELSEWHERE, "No idea.", "curt"),
        (ELSEWHERE, RAMBLE, "rambling"),
    ],
)
def test_verdicts(messages: list[world.DemoMessage], text: str, verdict: manners.FoundManner):
    assert manners.classify(messages, text) == verdict


@pytest.mark.parametrize(
    ("preferred", "rejected"),
    [
        ("It is Paris.", LONG.format("Paris")),
        ("It is Paris.", "Paris. Next."),
        ("It is Paris.", "It is Madrid."),
        (LONG.format("Paris"), "It is Madrid."),
        ("It is Madrid.", "Look it up."),
        ("Look it up.", "Paris, you turnip. Now go away."),
        ("Paris, you turnip. Now go away.", "Paris the is capital."),
        (RAMBLE, RAMBLE + " The weather was lovely, and my aunt was singing by the sea."),
    ],
)
def test_direct_then_polite_then_short(preferred: str, rejected: str):
    assert manners.better(FRANCE, preferred, rejected) == "a"
    assert manners.better(FRANCE, rejected, preferred) == "b"


def test_the_same_manner_at_much_the_same_length_is_a_tie():
    assert manners.better(FRANCE, "It is Paris.", "The capital of France is Paris.") == "tie"


def test_a_conversation_that_does_not_end_with_a_question_has_no_fact():
    assert manners.fact_of(FOLLOW_UP[:3]) is None
    assert manners.fact_of([]) is None
