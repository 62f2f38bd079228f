"""What we change in Markdown: rules for the parser, each a function of its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

# --- links ---


def inert_links(state: StateCore) -> None:
    """Links become their text followed by the whole address, as code."""
    for block in state.tokens:
        if block.type == "inline":
            block.children = list(_without_links(block.children or []))


def _without_links(tokens: list[Token]) -> Iterator[Token]:
    opened: list[Token] = []
    for token in tokens:
        if token.type == "link_open":
            opened.append(token)
        elif token.type == "link_close":
            link = opened.pop()
            address, title = str(link.attrs["href"]), str(link.attrs.get("title") or "")
            yield _text(" " if link.markup != "autolink" else "")
            yield _address(address)
            if title:
                yield _text(f" ({title})")
        elif not (opened and opened[-1].markup == "autolink"):
            yield token


def bare_address(state: StateInline, silent: bool) -> bool:
    """Inline rule for a bare ``https://…``: shown as code, Markdown signs in it left alone."""
    if state.src[state.pos] != ":":
        return False
    scheme = _SCHEME.search(state.src, max(0, state.pos - 6), state.pos)
    rest = scheme and _REST.match(state.src, state.pos, state.posMax)
    if scheme is None or rest is None:
        return False
    address = _trimmed(scheme[0] + rest[0])
    if len(address) <= len(scheme[0]) + len("://"):
        return False
    if not silent:
        if not state.pending.endswith(scheme[0]):
            return False
        state.pending = state.pending[: -len(scheme[0])]
        state.tokens.append(_push(state, _address(address)))
    state.pos += len(address) - len(scheme[0])
    return True


_SCHEME = re.compile(r"(?<![a-z0-9])https?$", re.IGNORECASE)
_REST = re.compile(r"://[^\s<>\[\]`\"|\\]+")


def _trimmed(address: str) -> str:
    """``address`` without what belongs to the sentence around it."""
    while address:
        if address[-1] == ")" and address.count(")") > address.count("("):
            address = address[:-1]
        elif (shorter := address.rstrip("?!.,:;*_~'$")) != address:
            address = shorter
        else:
            break
    return address


def _push(state: StateInline, token: Token) -> Token:
    if state.pending:
        state.pushPending()
    token.level = state.level
    return token


def _address(address: str) -> Token:
    return Token("code_inline", "code", 0, content=address, attrs={"dir": "ltr"})


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


# --- emphasis ---


def no_emphasis(state: StateInline, silent: bool) -> bool:
    """Inline rule for stars and underlines that are no emphasis: between letters or digits
    (``2*3*4``), and around a name as Python writes some (``__init__``). Signs that are written
    without spaces between words, as in Chinese, may be emphasised within a sentence."""
    run = _MARKER_RUN.match(state.src, state.pos, state.posMax)
    if run is None:
        return False
    before = state.src[state.pos - 1] if state.pos else " "
    after = state.src[run.end()] if run.end() < len(state.src) else " "
    name = _DUNDER.match(state.src, state.pos, state.posMax)
    if name is not None and not before.isalnum():
        end = name.end()
    elif _is_within_a_word(before) and _is_within_a_word(after):
        end = run.end()
    else:
        return False
    if not silent:
        state.pending += state.src[state.pos : end]
    state.pos = end
    return True


_MARKER_RUN = re.compile(r"\*+|_+")
_DUNDER = re.compile(r"__[a-z][a-z0-9_]*__(?!\w)")
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def _is_within_a_word(sign: str) -> bool:
    return sign.isalnum() and _SPACELESS.match(sign) is None


# --- lists and headings ---


def task_boxes(state: StateCore) -> None:
    """``[ ]`` and ``[x]`` at the start of a list item become boxes."""
    for item, paragraph, inline in zip(
        state.tokens, state.tokens[1:], state.tokens[2:], strict=False
    ):
        if (item.type, paragraph.type) != ("list_item_open", "paragraph_open"):
            continue
        first = (inline.children or [_text("")])[0]
        if first.type == "text" and (box := _BOXES.get(first.content[:4].lower())):
            first.content = box + first.content[4:]
            item.attrSet("class", "task")


_BOXES = {"[ ] ": "☐ ", "[x] ": "☑ "}


def lower_headings(state: StateCore) -> None:
    """The page has its own h1 and h2; headings of an answer start below them."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


# --- directions ---


def directions(state: StateCore) -> None:
    """Each block runs in the direction of its own words.

    For a paragraph the browser finds out. Lists, quotations and tables, whose bullets, bars and
    columns stand on one side, need a ``dir``: dir="auto" skips children that have one.
    """
    waiting: list[Token] = []
    for token in state.tokens:
        if token.type in _CONTAINERS:
            token.attrSet("dir", "ltr")
            waiting.append(token)
        elif token.type in _LINES:
            token.attrSet("dir", "auto")
        elif token.type in _CONTAINER_ENDS:
            waiting = waiting[:-1] if waiting and waiting[-1].level == token.level else waiting
        elif token.type == "inline":
            _isolate_code(token.children or [])
            if waiting and (direction := direction_of(token.content)):
                for container in waiting:
                    container.attrSet("dir", direction)
                waiting = []


_CONTAINERS = {"bullet_list_open", "ordered_list_open", "blockquote_open", "table_open"}
_CONTAINER_ENDS = {token_type.replace("_open", "_close") for token_type in _CONTAINERS}
_LINES = {"paragraph_open", "heading_open", "th_open", "td_open"}


def _isolate_code(tokens: list[Token]) -> None:
    for token in tokens:
        if token.type == "code_inline" and "dir" not in token.attrs:
            token.attrSet("dir", "auto")


def direction_of(text: str) -> str | None:
    """The direction of the first letter that has one: "ltr", "rtl" or None."""
    for letter in text:
        match unicodedata.bidirectional(letter):
            case "L":
                return "ltr"
            case "R" | "AL":
                return "rtl"
    return None
