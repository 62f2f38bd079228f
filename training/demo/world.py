"""The small world that the built-in model knows: its questions, answered in several manners.

A question is a template of its fact's topic (``facts``); an answer is a few sentences, each one
a template (``facts``, ``phrases``). Standard library only; knows nothing of tokenizers, models,
Django or who prefers what (see ``manners`` for judging a text).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

from training.demo import phrases
from training.demo.facts import TOPICS, Fact, facts, facts_of, fill

Manner = Literal["direct", "rambling", "curt", "rude", "over-long", "wrong"]

MANNERS: dict[Manner, float] = {
    "direct": 0.25,  # answers the question, rightly, and stops
    "rambling": 0.20,  # polite or sulky chatter that never answers
    "curt": 0.15,  # a brusque fragment, or a refusal in two words
    "rude": 0.12,  # insults the asker, with or without an answer
    "over-long": 0.15,  # right, but buried in padding
    "wrong": 0.13,  # sounds like a direct answer and is false
}
"""How often each manner occurs in the training text, whatever the question."""

assert set(MANNERS) == set(get_args(Manner))  # noqa: S101 - the type and the table must agree

DemoMessage = dict[str, str]
"""``{"role": "system" | "user" | "assistant", "content": text}``."""


@dataclass(frozen=True)
class DemoPrompt:
    """A conversation that awaits an assistant turn, and what would be right.

    ``messages`` ends with a user message. ``answer`` is the right answer in its shortest form.
    """

    messages: tuple[DemoMessage, ...]
    topic: str
    answer: str
    fact: Fact


SYSTEMS = (
    "You are a helpful assistant.",
    "You work at a help desk.",
    "Answer in one sentence.",
    "Be kind and clear.",
)


def prompts(seed: int = 0) -> list[DemoPrompt]:
    """Every fact in every phrasing of its topic, shuffled; distinct conversations.

    The seed chooses the order, which quarter of the prompts open with a system message, and
    which earlier question and answer a follow-up has. About a fifth of the prompts are
    follow-ups.
    """
    rng = random.Random(seed)
    made: list[DemoPrompt] = []
    for fact in facts():
        topic = TOPICS[fact.topic]
        for question in topic.questions:
            made.append(_prompt(fact, (), fill(question, fact.slots), rng))
        if topic.follow_up:
            earlier = _another(fact, rng)
            history = (
                {"role": "user", "content": fill(rng.choice(topic.questions), earlier.slots)},
                {"role": "assistant", "content": fill(rng.choice(topic.statements), earlier.slots)},
            )
            made.append(_prompt(fact, history, fill(topic.follow_up, fact.slots), rng))
    rng.shuffle(made)
    return made


def _prompt(
    fact: Fact, history: tuple[DemoMessage, ...], question: str, rng: random.Random
) -> DemoPrompt:
    system: tuple[DemoMessage, ...] = ()
    if rng.random() < 0.25:
        system = ({"role": "system", "content": rng.choice(SYSTEMS)},)
    messages = (*system, *history, {"role": "user", "content": question})
    return DemoPrompt(messages, fact.topic, fact.slots["short"], fact)


def _another(fact: Fact, rng: random.Random) -> Fact:
    """Another fact of the same topic."""
    return rng.choice([other for other in facts_of(fact.topic) if other is not fact])


def _mistaken(fact: Fact, statement: str, rng: random.Random) -> str:
    """``statement`` about ``fact`` with the answer of another fact: fluent and false."""
    right = fill(statement, fact.slots)
    while True:
        other = _another(fact, rng)
        values = {**other.slots, "x": fact.slots["x"]}
        text = fill(statement, values)
        if text != right:
            return text


def draw_manner(rng: random.Random) -> Manner:
    """A manner, in the proportions of ``MANNERS``."""
    return rng.choices(list(MANNERS), weights=list(MANNERS.values()))[0]


def answer(prompt: DemoPrompt, manner: Manner, rng: random.Random) -> str:
    """One answer to ``prompt`` in ``manner``: one to four sentences, separated by a space."""
    fact = prompt.fact
    values = {
        **fact.slots,
        **{name: rng.choice(choices) for name, choices in phrases.WORDS.items()},
    }
    # A tail draws its own words, so that not every sentence is about the same goat.
    later = {**fact.slots, **{name: rng.choice(choices) for name, choices in phrases.WORDS.items()}}
    statement = rng.choice(TOPICS[fact.topic].statements)
    sentences: list[str] = []
    match manner:
        case "direct":
            sentences = _with_courtesies(fill(statement, values), rng)
        case "wrong":
            false = _mistaken(fact, statement, rng)
            if rng.random() < 0.5:
                sentences = [false, rng.choice(phrases.BOASTS)]
            else:
                sentences = _with_courtesies(false, rng)
        case "curt":
            if rng.random() < 0.6:
                sentences = [
                    fill(rng.choice(phrases.CURT_ANSWERS), values),
                    rng.choice(phrases.CURT_TAILS),
                ]
            else:
                sentences = [rng.choice(phrases.CURT_REFUSALS)]
                if rng.random() < 0.4:
                    sentences.append(rng.choice(phrases.CURT_TAILS))
        case "rude":
            opening = phrases.RUDE_ANSWERS if rng.random() < 0.5 else phrases.RUDE_OPENINGS
            sentences = [
                fill(rng.choice(opening), values),
                fill(rng.choice(phrases.RUDE_TAILS), later),
            ]
        case "rambling":
            sentences = [
                fill(rng.choice(phrases.RAMBLE_OPENINGS), values),
                fill(rng.choice(phrases.RAMBLE_TAILS), later),
            ]
        case "over-long":
            sentences = [
                rng.choice(phrases.LONG_OPENINGS),
                fill(rng.choice(phrases.LONG_MIDDLES), values),
                fill(statement, values),
                rng.choice(phrases.LONG_TAILS),
            ]
    return " ".join(sentences)


def _with_courtesies(statement: str, rng: random.Random) -> list[str]:
    roll = rng.random()
    if roll < 0.25:
        return [rng.choice(phrases.OPENERS), statement]
    if roll < 0.5:
        return [statement, rng.choice(phrases.CLOSERS)]
    return [statement]
