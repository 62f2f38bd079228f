"""Which manner a text is in, and which of two texts the simulated raters prefer.

The generator's own templates are the grammar: a text is cut into sentences, every sentence must
be one that ``world`` could have written, and the manner follows from the kinds of sentence found.
So the verdict is exact on generated text, and on a model's text it is strict: a sentence that
nobody wrote, a repeated sentence or an unfinished one makes the text ``"other"``, and "direct"
demands that the stated answer is true for the question that was asked.

Standard library only. Knows nothing of models or of how a text was sampled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from training.demo import phrases
from training.demo.facts import TOPICS, Fact, facts, fill
from training.demo.world import Manner

FoundManner = Manner | Literal["other"]

PhraseKind = Literal["statement", "courtesy", "boast", "curt", "rude", "ramble", "padding"]

_COURTESY: dict[FoundManner, int] = {
    "direct": 4,
    "over-long": 4,
    "rambling": 3,
    "wrong": 3,
    "curt": 2,
    "rude": 1,
    "other": 0,
}

_CONVERSATION_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class _Pattern:
    """One template as an expression; ``slots`` names its groups in order.

    The values of a statement must come from its ``topic``; None stands for any topic.
    """

    kind: PhraseKind
    topic: str | None
    expression: re.Pattern[str]
    slots: tuple[str, ...]


def fact_of(messages: Sequence[Mapping[str, str]]) -> Fact | None:
    """The fact that the last user message asks about; None for a question of another world.

    System messages do not matter. A follow-up ("And {x}?") is understood from the question
    before it.
    """
    turns = [m for m in messages if m["role"] in _CONVERSATION_ROLES]
    if not turns or turns[-1]["role"] != "user":
        return None
    question = turns[-1]["content"].strip()
    fact = _questions().get(question)
    if fact is None and len(turns) > 2:
        before = fact_of(turns[:-2])
        fact = _follow_ups().get((before.topic, question)) if before else None
    return fact


def classify(messages: Sequence[Mapping[str, str]], text: str) -> FoundManner:
    """The manner of ``text`` as an answer to ``messages``, or ``"other"``.

    Where kinds of sentence are mixed, the worse one names the text: an insult makes it rude
    whatever else it says, then a false statement makes it wrong, then chatter makes it rambling,
    then padding over-long. A true answer that is curt is "curt". Only one true statement, alone or
    with at most two courtesies or boasts, is "direct".
    """
    fact = fact_of(messages)
    sentences = _sentences(text)
    if not sentences or len(set(sentences)) < len(sentences):
        return "other"
    kinds: list[PhraseKind] = []
    truths: list[bool] = []
    for sentence in sentences:
        readings = _readings(sentence)
        if not readings:
            return "other"
        # Curt and plain answers say something about the question; the other kinds do not.
        claims = [r for r in readings if r[0] == "statement" or (r[0] == "curt" and r[1])]
        if claims:
            true = fact is not None and any(_is_true(fact, slots) for _, slots in claims)
            truths.append(true)
        kinds.append(readings[0][0])
    return _verdict(kinds, truths, asked=fact is not None)


def _verdict(kinds: Sequence[PhraseKind], truths: Sequence[bool], *, asked: bool) -> FoundManner:
    """The manner that follows from the kinds of sentence, and from the truth of each claim.

    ``asked`` is false when the question is not of this world, where no claim can be checked.
    """
    if "rude" in kinds:
        return "rude"
    if truths and not asked:
        return "other"
    if not all(truths):
        return "wrong"
    if "ramble" in kinds:
        return "rambling"
    # From here on only a text that answers, once, has a name; a refusal is the exception.
    if "padding" in kinds:
        return "over-long" if truths else "other"
    if "curt" in kinds:
        return "curt" if set(kinds) == {"curt"} else "other"
    if len(truths) != 1 or len(kinds) > 3:
        return "other"
    return "direct"


def preference_key(messages: Sequence[Mapping[str, str]], text: str) -> tuple[int, int, int]:
    """What the simulated raters look at, most important first; the greater key is preferred.

    Direct and right, then polite, then short: whether the text is "direct"; how courteous its
    manner is; minus its length in tens of words (nobody counts single words). Politeness ranks
    patient answers above chatter and falsehood, those above brusqueness, and insults last but for
    text that cannot be read.
    """
    manner = classify(messages, text)
    return (int(manner == "direct"), _COURTESY[manner], -(len(text.split()) // 10))


def better(
    messages: Sequence[Mapping[str, str]], a_text: str, b_text: str
) -> Literal["a", "b", "tie"]:
    """Which of two answers to ``messages`` the simulated raters prefer. Deterministic."""
    a, b = preference_key(messages, a_text), preference_key(messages, b_text)
    if a == b:
        return "tie"
    return "a" if a > b else "b"


def _sentences(text: str) -> list[str]:
    """``text`` cut after each full stop, exclamation or question mark that a space follows."""
    return re.split(r"(?<=[.!?]) ", text.strip()) if text.strip() else []


def _readings(sentence: str) -> list[tuple[PhraseKind, dict[str, str]]]:
    """Every way that the world could have written ``sentence``: its kind and its slot values."""
    readings: list[tuple[PhraseKind, dict[str, str]]] = []
    for pattern in _patterns():
        match = pattern.expression.fullmatch(sentence)
        if match is None:
            continue
        values = dict(zip(pattern.slots, match.groups(), strict=True))
        if all(value in _known(slot, pattern.topic) for slot, value in values.items()):
            readings.append((pattern.kind, values))
    return readings


def _is_true(fact: Fact, slots: Mapping[str, str]) -> bool:
    """Whether every slot of a claim is the fact's own.

    A slot that the fact lacks makes the claim false: an apology is no answer to a sum.
    """
    return all(_value(fact, slot) == value for slot, value in slots.items())


def _value(fact: Fact, slot: str) -> str | None:
    """The fact's value for ``slot``; with a capital when the slot's name has one."""
    if slot.lower() not in fact.slots:
        return None
    return fill("{" + slot + "}", fact.slots)


@cache
def _known(slot: str, topic: str | None) -> frozenset[str]:
    """Every value that ``slot`` has in ``topic``; in the whole world when that is None."""
    if slot.lower() in phrases.WORDS:
        return frozenset(_words(slot))
    those = (fact for fact in facts() if topic in (None, fact.topic))
    values = (_value(fact, slot) for fact in those)
    return frozenset(value for value in values if value is not None)


def _words(slot: str) -> list[str]:
    return [fill("{" + slot + "}", {slot.lower(): word}) for word in phrases.WORDS[slot.lower()]]


@cache
def _patterns() -> tuple[_Pattern, ...]:
    """All templates of all answers; the order decides the kind of an ambiguous sentence."""
    groups: list[tuple[PhraseKind, str | None, Sequence[str]]] = [
        ("rude", None, phrases.RUDE_ANSWERS),
        ("rude", None, phrases.RUDE_OPENINGS),
        ("rude", None, phrases.RUDE_TAILS),
        *(("statement", name, topic.statements) for name, topic in TOPICS.items()),
        ("curt", None, phrases.CURT_ANSWERS),
        ("curt", None, phrases.CURT_TAILS),
        ("curt", None, phrases.CURT_REFUSALS),
        ("ramble", None, phrases.RAMBLE_OPENINGS),
        ("ramble", None, phrases.RAMBLE_TAILS),
        ("padding", None, phrases.LONG_OPENINGS),
        ("padding", None, phrases.LONG_MIDDLES),
        ("padding", None, phrases.LONG_TAILS),
        ("courtesy", None, phrases.OPENERS),
        ("courtesy", None, phrases.CLOSERS),
        ("boast", None, phrases.BOASTS),
    ]
    return tuple(
        _pattern(kind, topic, template) for kind, topic, group in groups for template in group
    )


def _pattern(kind: PhraseKind, topic: str | None, template: str) -> _Pattern:
    pieces = re.split(r"\{(\w+)\}", template)
    expression = "".join(
        _group(piece) if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    )
    return _Pattern(kind, topic, re.compile(expression), tuple(pieces[1::2]))


def _group(slot: str) -> str:
    """Two word lists may stand side by side, so a word is spelt out; other slots are not."""
    if slot.lower() in phrases.WORDS:
        return "(" + "|".join(re.escape(word) for word in _words(slot)) + ")"
    return "(.+?)"


@cache
def _questions() -> dict[str, Fact]:
    return {
        fill(question, fact.slots): fact
        for fact in facts()
        for question in TOPICS[fact.topic].questions
    }


@cache
def _follow_ups() -> dict[tuple[str, str], Fact]:
    return {
        (fact.topic, fill(TOPICS[fact.topic].follow_up, fact.slots)): fact
        for fact in facts()
        if TOPICS[fact.topic].follow_up
    }
