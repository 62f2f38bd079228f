"""Characters that hide, reorder or bury text, made visible.

A rater must see what a round would train on: a direction override that turns a line round, a
word between zero-width spaces, a message in variation selectors, a tower of accents that
covers the lines above.
"""

from __future__ import annotations

import re
import unicodedata
from functools import partial

_VISIBLE_FORMAT = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2)}
_BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u2800\u3164\uffa0"
_ASSIGNED = (*range(0x20000), *range(0xE0000, 0xE1000))

_STACKABLE = {
    chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) in ("Mn", "Me")
}
"""Drawn over the character before them; of the first plane, which keeps the search fast."""

MARKS_SHOWN = 8
"""Accents on one letter; no script that we know of puts more there."""


def _hidden_characters() -> str:
    """All format and control characters, and letters without ink, as a regex class."""
    hidden = [
        chr(code)
        for code in _ASSIGNED
        if unicodedata.category(chr(code)) in ("Cf", "Cc")
        and chr(code) not in _VISIBLE_FORMAT
        and chr(code) not in "\t\n\r"
    ]
    return "[" + "".join(map(re.escape, [*hidden, *_BLANK_LETTERS])) + "]"


def _marks() -> str:
    """What is drawn over the character before it, as a regex class."""
    return "[" + "".join(map(re.escape, sorted(_STACKABLE))) + "]"


_CLASS = _hidden_characters()
_SELECTORS = re.compile("[\ufe00-\ufe0f]{2,}|[\U000e0100-\U000e01ef]{2,}")
_TOWER = re.compile(f"({_marks()}{{{MARKS_SHOWN}}})({_marks()}+)")
_NEIGHBOUR = "[^\\x00-\\x7f\u200b-\u200f⟦⟧]"
_LOST_JOINER = re.compile(f"(?<!{_NEIGHBOUR})([\u200c\u200d])|([\u200c\u200d])(?!{_NEIGHBOUR})")
"""Joiners belong between letters that need them: in Persian, in Indic scripts, inside emoji."""

_AS_CODE = {
    character: f"⟦U+{ord(character):04X}⟧"
    for character in map(chr, _ASSIGNED)
    if re.match(_CLASS, character)
}
_JOINERS = {"\u200c", "\u200d"}


def show_hidden(html: str) -> str:
    """``html``, or any text, with the characters that nobody would see as their code points."""
    if html.isascii() and html.isprintable():
        return html
    used = set(html)
    if hidden := _AS_CODE.keys() & used:
        html = _coded(html, hidden)
    if used & _STACKABLE or any("\U000e0100" <= character <= "\U000e01ef" for character in used):
        html = _SELECTORS.sub(lambda run: f"⟦{len(run[0])} variation selectors⟧", html)
        html = _TOWER.sub(lambda tower: f"{tower[1]}⟦+{len(tower[2])} marks⟧", html)
    return html


def _counted(shown: str, run: re.Match[str]) -> str:
    return f"{shown}×{len(run[0])}⟧"


def _coded(html: str, hidden: set[str]) -> str:
    for character in hidden:
        if character * 2 in html:
            shown = _AS_CODE[character][:-1]
            html = re.sub(f"{character}{{2,}}", partial(_counted, shown), html)
    if hidden & _JOINERS:
        html = _LOST_JOINER.sub(lambda joiner: _AS_CODE[joiner[0]], html)
    return html.translate({ord(character): _AS_CODE[character] for character in hidden - _JOINERS})
