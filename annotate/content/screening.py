"""Which completions raters never see: empty, cut off, looping, naming their model, duplicates.

Rules that need no database, as a project has set them. What is kept out stays stored and is
counted; ``annotate.content.completions`` asks when it stores, ``annotate.pairing.comparisons``
leaves it out.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any

from annotate.models import ScreeningRule

REPEATS = 4
"""How often in a row the same words make a loop, where a project has not set it."""

FEWEST_WORDS = 16
"""A loop shorter than this is a refrain."""

LONG_NAME = 8
"""A model's name as short as this may be a word like any other."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")
_LETTER = re.compile(r"[^\W\d_]")
_SELF = (
    r"(?:i\s+am|i['’]m|my\s+name\s+is|my\s+name['’]s|call(?:ed)?\s+me|ich\s+bin|ich\s+hei(?:ß|ss)e)"
)
_MADE = r"(?:made|built|trained|developed|created|designed|entwickelt|trainiert)\s+(?:by|von)"

NAMES = (
    *("Claude", "ChatGPT", "GPT-3", "GPT-4", "GPT-5", "Gemini", "Bard", "Llama", "Mistral"),
    *("Mixtral", "Qwen", "DeepSeek", "Grok", "Copilot", "Phi", "Gemma", "Command R", "Kimi"),
    *("Anthropic", "OpenAI", "Google", "Google DeepMind", "Meta", "Meta AI", "Mistral AI"),
    *("Alibaba", "Alibaba Cloud", "Microsoft", "xAI", "Cohere", "Moonshot AI"),
)
"""Names of models and of their makers that an answer may give itself away with."""


@dataclasses.dataclass(frozen=True)
class ScreeningRules:
    """A project's rules. ``repeats``: how often in a row the same words make a loop;
    ``names``: what stands behind "I am" or "made by" where an answer gives itself away."""

    on: frozenset[str] = frozenset(ScreeningRule.values)
    repeats: int = REPEATS
    names: tuple[str, ...] = NAMES


def rules_of(stored: Mapping[str, Any]) -> ScreeningRules:
    """The rules as a project stores them; what it has not set has its default."""
    usual = ScreeningRules()
    return ScreeningRules(
        on=frozenset(stored.get("on", usual.on)) & usual.on,
        repeats=stored.get("repeats", usual.repeats),
        names=tuple(stored.get("names", usual.names)),
    )


def as_stored(rules: ScreeningRules) -> dict[str, Any]:
    """What ``rules_of`` reads."""
    return {"on": sorted(rules.on), "repeats": rules.repeats, "names": list(rules.names)}


def rejected_for(
    text: str,
    *,
    rules: ScreeningRules,
    finish_reason: str = "",
    model: str = "",
    others: Collection[str] = (),
) -> str:
    """The first rule that keeps ``text`` out, or "".

    ``model`` is the name of the model that wrote it; ``others`` are the texts, each by ``plain``,
    that the prompt has already.
    """
    plain_text = plain(text)
    if ScreeningRule.EMPTY in rules.on and not plain_text:
        return ScreeningRule.EMPTY
    if ScreeningRule.CUT_OFF in rules.on and finish_reason == "length":
        return ScreeningRule.CUT_OFF
    if ScreeningRule.LOOPING in rules.on and is_looping(text, rules.repeats):
        return ScreeningRule.LOOPING
    if ScreeningRule.IDENTITY in rules.on and gives_itself_away(text, rules.names, model):
        return ScreeningRule.IDENTITY
    if ScreeningRule.SAME in rules.on and plain_text in others:
        return ScreeningRule.SAME
    return ""


def plain(text: str) -> str:
    """``text`` as it is compared with others: white space apart."""
    return " ".join(text.split())


def is_looping(text: str, repeats: int = REPEATS) -> bool:
    """Whether the same words come ``repeats`` times in a row or more, FEWEST_WORDS in all.

    Three words in a row that were last met ``distance`` words ago, again and again at that same
    distance, are a loop of that length. Digits and signs alone (tables, rules) are none. O(words).
    """
    words = [word.lower() for word in _WORD.findall(text)]
    last_places: dict[tuple[str, ...], int] = {}
    distance, run, letters = 0, 0, False
    for place in range(len(words) - 2):
        trigram = tuple(words[place : place + 3])
        last = last_places.get(trigram)
        last_places[trigram] = place
        if last is None or place - last != distance:
            distance, run, letters = (place - last if last is not None else 0), 0, False
        if not distance:
            continue
        run += 1
        letters = letters or bool(_LETTER.search(words[place]))
        looped = run + 2 + distance  # words from the loop's first to this one's end
        if letters and looped >= max(FEWEST_WORDS, repeats * distance):
            return True
    return False


def gives_itself_away(text: str, names: Iterable[str], model: str = "") -> bool:
    """Whether ``text`` says which model wrote it, or who made that.

    "I am NAME", "I … made by NAME", or anywhere the last part of ``model`` as a hub would have it.
    """
    own = model.rsplit("/", 1)[-1]
    if len(own) >= LONG_NAME and "-" in own and own.lower() in text.lower():
        return True
    pattern = _pattern(tuple(names))
    return pattern is not None and pattern.search(text) is not None


@lru_cache(maxsize=256)
def _pattern(names: tuple[str, ...]) -> re.Pattern[str] | None:
    known = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not known:
        return None
    any_name = "|".join(r"\s+".join(map(re.escape, name.split())) for name in known)
    claim = rf"(?:{_SELF}|\b(?:i|ich)\b[^.!?\n]{{0,80}}?\b{_MADE})\s+(?:an?\s+|the\s+)?"
    return re.compile(rf"(?<!\w){claim}(?:{any_name})(?!\w)", re.IGNORECASE)
