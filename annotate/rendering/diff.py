"""What differs between two answers, word by word, side by side.

What only one text has is marked there, on both sides with the same weight, for neither is the
right one; the rest is as it was written, escaped, with its white space. Where hardly anything is
common, marks would say nothing, and there are none. The work is bounded by the number of
words, whatever they are: where there are too many, lines are compared instead, and where there
are too many lines nothing is marked.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from html import escape
from typing import Literal

from rapidfuzz.distance import Indel

from annotate.rendering.hidden_characters import show_hidden

MAX_PRODUCT = 150_000_000
"""Parts of one text times parts of the other; the comparison takes this many bits of memory."""

ISLAND = 2
"""A run of fewer equal words than this, between changes, is taken for a chance."""

LEFT, RIGHT = "only-left", "only-right"
"""How marks look: two hues of the same weight."""

MAX_CHARS = 400_000
"""Longer texts are not compared."""

_CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # written without spaces: each sign is a word
_WORDS = re.compile(rf"(\A\s+|[{_CJK}]|[^\W{_CJK}]+|[^\w\s])(\s*)")
_LINES = re.compile(r"([^\n]+|\A)(\n*)")

DiffPart = tuple[str, str]
"""A word or a line, and the white space after it, which is not compared."""

COMMON = 0.15
"""Where less than this share of the words is common, nothing is marked."""

DiffLevel = Literal["same", "words", "lines", "apart", "all"]


@dataclasses.dataclass(frozen=True)
class Difference:
    """Both texts as safe HTML, and how finely they were compared ("apart": hardly anything is
    common; "all": not at all; neither is marked)."""

    left: str
    right: str
    level: DiffLevel


def difference(left: str, right: str) -> Difference:
    """``left`` and ``right`` with their differences marked."""
    if left == right:
        return Difference(_shown(left), _shown(right), "same")
    if len(left) + len(right) <= MAX_CHARS:
        for level, pattern in (("words", _WORDS), ("lines", _LINES)):
            parts = pattern.findall(left), pattern.findall(right)
            if len(parts[0]) * len(parts[1]) <= MAX_PRODUCT:
                return _marked(*parts, level=level)  # type: ignore[arg-type]
    return Difference(_shown(left), _shown(right), "all")


def _marked(left: list[DiffPart], right: list[DiffPart], *, level: DiffLevel) -> Difference:
    island = ISLAND if level == "words" else 1
    runs = _equal_runs([word for word, _ in left], [word for word, _ in right], island=island)
    common = 2 * sum(size for _, _, size in runs)
    if common < COMMON * (len(left) + len(right)):
        return Difference(_shown(_joined(left)), _shown(_joined(right)), "apart")
    return Difference(
        _side(left, [(start, start + size) for start, _, size in runs], LEFT),
        _side(right, [(start, start + size) for _, start, size in runs], RIGHT),
        level,
    )


def _equal_runs(
    left: Sequence[str], right: Sequence[str], *, island: int
) -> list[tuple[int, int, int]]:
    """(place in left, place in right, length) of what both have in common, in order."""
    numbers: dict[str, int] = {}
    a, b = ([numbers.setdefault(part, len(numbers)) for part in side] for side in (left, right))
    runs = [
        (opcode.src_start, opcode.dest_start, opcode.src_end - opcode.src_start)
        for opcode in Indel.opcodes(a, b)
        if opcode.tag == "equal"
    ]
    ends = (len(left), len(right))
    return [
        (i, j, size)
        for i, j, size in runs
        if size >= island or (i, j) == (0, 0) or (i + size, j + size) == ends
    ]


def _side(parts: Sequence[DiffPart], equal: Sequence[tuple[int, int]], look: str) -> str:
    html, place = [], 0
    for start, end in [*equal, (len(parts), len(parts))]:
        changed, unchanged = parts[place:start], parts[start:end]
        html += [_wrapped(_joined(changed), look), _shown(_joined(unchanged))]
        place = end
    return "".join(html)


def _joined(parts: Sequence[DiffPart]) -> str:
    return "".join(word + space for word, space in parts)


def _wrapped(text: str, look: str) -> str:
    """``text`` as a mark that looks so, apart from the white space around it."""
    inner = text.strip()
    if not inner:
        return _shown(text)
    before, after = text[: text.index(inner)], text[text.index(inner) + len(inner) :]
    return f'{_shown(before)}<mark class="{look}">{_shown(inner)}</mark>{_shown(after)}'


def _shown(text: str) -> str:
    return show_hidden(escape(text))
