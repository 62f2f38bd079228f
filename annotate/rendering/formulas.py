"""LaTeX formulas inside Markdown, as MathML.

Raters judge what they see, so a formula is shown only where all of its letters and digits
come out; anything else stays as its source.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from xml.etree.ElementTree import tostring

from django.utils.html import escape
from latex2mathml.converter import convert_to_element
from markdown_it.rules_inline import StateInline

MAX_FORMULA_CHARS = 2_000

CLOSERS = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]"}
ENVIRONMENT = ""
"""The opener of an environment that stands outside of such signs."""

_ENVIRONMENTS = ("align", "aligned", "gather", "gathered", "equation", "cases", "split", "array")
_MATRICES = ("matrix", "pmatrix", "bmatrix", "Bmatrix", "vmatrix", "Vmatrix", "smallmatrix")
_BEGIN = re.compile(rf"\\begin\{{((?:{'|'.join((*_ENVIRONMENTS, *_MATRICES))})\*?)\}}")
_SAME_LAYOUT = {  # by the names that the converter knows; without the numbers of align
    "{aligned}": "{split}",
    "{align}": "{align*}",
    "{gather}": "{align*}",
    "{gather*}": "{align*}",
    "{gathered}": "{split}",
}

TAGS = {
    *("math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "mfrac", "msqrt", "mroot", "mstyle"),
    *("msub", "msup", "msubsup", "mover", "munder", "munderover", "mtable", "mtr", "mtd"),
    *("mpadded", "menclose"),
}
ATTRIBUTES = {
    "math": {"display"},
    "mi": {"mathvariant"},
    "mn": {"mathvariant"},
    "mo": {"stretchy", "fence", "form", "separator", "accent", "movablelimits"},
    "mfrac": {"linethickness"},
    "mtable": {"columnalign"},
    "mtd": {"columnalign"},
    "menclose": {"notation"},
}


def formula(state: StateInline, silent: bool) -> bool:
    """Inline rule for ``$…$``, ``$$…$$``, ``\\(…\\)``, ``\\[…\\]`` and environments.

    A single dollar is money unless something follows it directly, something stands directly
    before its partner, and neither touches a letter or digit outside: "$5 and $6" is text. Escaped
    brackets are a formula only around an operator or a command, or around single letters and
    numbers: a regular expression and a remark are text.
    """
    if begun := _BEGIN.match(state.src, state.pos):
        return _environment(state, begun[1], silent)
    opener = next((o for o in CLOSERS if state.src.startswith(o, state.pos)), None)
    if opener is None:
        return False
    start = state.pos + len(opener)
    end = state.src.find(CLOSERS[opener], start, start + MAX_FORMULA_CHARS)
    if end < 0 or not state.src[start:end].strip():
        return False
    after = end + len(CLOSERS[opener])
    if opener.startswith("\\") and not _is_mathematics(state.src[start:end], opener):
        return False
    if opener == "$":
        inside, outside = state.src[start] + state.src[end - 1], state.src[after : after + 1]
        if state.pos:
            outside += state.src[state.pos - 1]
        if any(map(str.isspace, inside)) or any(map(str.isalnum, outside)):
            return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = state.src[start:end]
        token.markup = opener
    state.pos = after
    return True


def _environment(state: StateInline, name: str, silent: bool) -> bool:
    closer = f"\\end{{{name}}}"
    end = state.src.find(closer, state.pos, state.pos + MAX_FORMULA_CHARS)
    if end < 0:
        return False
    end += len(closer)
    if not silent:
        token = state.push("formula", "", 0)
        token.content = state.src[state.pos : end]
        token.markup = ENVIRONMENT
    state.pos = end
    return True


def _is_mathematics(source: str, opener: str) -> bool:
    if _OPERATOR.search(source):
        return True
    return opener == "\\(" and _WORD.search(source) is None


_OPERATOR = re.compile(r"\\[A-Za-z,;!]|[=+*/^_<>|!]|[^\x00-\u024f\s]|\s-\s|[a-z0-9]\s*-\s*[a-z]\b")
_WORD = re.compile(r"[A-Za-z]{4}|\d-\d")


def mathml(source: str, opener: str) -> str:
    """``source`` as MathML, or escaped as it was written where that would lose something."""
    try:
        known = _LAYOUTS.sub(lambda name: _SAME_LAYOUT[name[0]], source)
        is_display = opener in ("$$", "\\[", ENVIRONMENT)
        element = convert_to_element(known, display="block" if is_display else "inline")
    except Exception:  # whatever a parser of hostile text may raise
        return as_written(source, opener)
    for part in element.iter():
        part.text = html.unescape(part.text or "")
    shown = "".join(part.text or "" for part in element.iter() if part.tag in TAGS)
    if (
        _letters(source) - _letters(shown)
        or "\\" in shown
        or any(part.get("notation", "box") != "box" for part in element.iter())
        or shown.count("&") > source.count("\\&")
    ):
        return as_written(source, opener)
    return tostring(element, encoding="unicode")


def as_written(source: str, opener: str) -> str:
    """The formula's source, escaped, between its own signs."""
    return escape(opener + source + CLOSERS.get(opener, "")).replace("\n", "<br>\n")


_LAYOUTS = re.compile("|".join(map(re.escape, _SAME_LAYOUT)))
_COMMANDS = re.compile(r"\\(?:begin|end)\{[a-z]+\*?\}(?:\{[lcr|]+\})?|\\[A-Za-z]+")


def _letters(text: str) -> Counter[str]:
    """How often each letter and digit stands in ``text``, outside commands, styles apart."""
    bare = unicodedata.normalize("NFKC", _COMMANDS.sub(" ", text))
    return Counter(letter for letter in bare if letter.isalnum())
