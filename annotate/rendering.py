"""Untrusted text to HTML that is safe on our pages and hides nothing from a rater.

Models and data sets write the text; none of it is trusted. Markdown is parsed without raw
HTML and without images, then nh3 lets through a short list of elements. No attribute is
taken from the text. Beyond safety, a rater must see what a round would train on: links show
their whole address and lead nowhere, reference definitions and code labels stay visible, and
characters that reorder or hide text appear as their code points.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from annotate import mathematics

MAX_MARKDOWN_CHARS = 50_000
"""Longer text is shown plain; up to here the worst input we know takes about a second."""

MAX_NESTING = 20
"""Deeper than this the parser would drop text, so the whole is shown plain."""

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"),
    *("pre", "code", "figure", "figcaption", "em", "strong", "s"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_BLOCKS = ("p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "th", "td")

_cleaner = nh3.Cleaner(
    tags=TAGS | mathematics.TAGS,
    attributes={"ol": {"start"}} | mathematics.ATTRIBUTES,
    clean_content_tags=set(),
    url_schemes=set(),
    link_rel=None,
    set_tag_attribute_values={tag: {"dir": "auto"} for tag in _BLOCKS} | {"pre": {"dir": "ltr"}},
)


def render(text: str) -> SafeString:
    """``text``, read as Markdown, as safe HTML; as plain paragraphs where it is too much.

    Never raises and never loses text: what Markdown cannot show is shown as it was written.
    """
    html = _markdown(text) if len(text) <= MAX_MARKDOWN_CHARS else None
    return mark_safe(_show_hidden(_plain(text) if html is None else html))  # noqa: S308


def _markdown(text: str) -> str | None:
    """The HTML, or None where the nesting is deeper than the parser follows."""
    tokens = _parser.parse(text)
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return None
    return _cleaner.clean(_parser.renderer.render(tokens, _parser.options, {}))


def _plain(text: str) -> str:
    paragraphs = re.split(r"\n[ \t]*\n\s*", text.strip("\n"))
    return "\n".join(
        f'<p dir="auto">{escape(paragraph).replace(chr(10), "<br>")}</p>'
        for paragraph in paragraphs
        if paragraph.strip()
    )


# --- our rules ---


def _inert_links(state: StateCore) -> None:
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
            yield Token("code_inline", "code", 0, content=address)
            if title:
                yield _text(f" ({title})")
        elif not (opened and opened[-1].markup == "autolink"):
            yield token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _task_boxes(state: StateCore) -> None:
    """``[ ]`` and ``[x]`` at the start of a list item become boxes."""
    for item, paragraph, inline in zip(
        state.tokens, state.tokens[1:], state.tokens[2:], strict=False
    ):
        if (item.type, paragraph.type) != ("list_item_open", "paragraph_open"):
            continue
        first = (inline.children or [_text("")])[0]
        if first.type == "text" and (box := _BOXES.get(first.content[:4].lower())):
            first.content = box + first.content[4:]


_BOXES = {"[ ] ": "☐ ", "[x] ": "☑ "}


def _lower_headings(state: StateCore) -> None:
    """The page has its own h1 and h2; headings of an answer start below them."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"


class _Renderer(RendererHTML):
    def fence(self, tokens: list[Token], idx: int, options: object, env: object) -> str:  # type: ignore[override]
        """A code block, under its label where it has one."""
        del options, env
        label = tokens[idx].info.strip()
        code = f"<pre><code>{escape(tokens[idx].content)}</code></pre>\n"
        if not label:
            return code
        return f"<figure><figcaption>{escape(label)}</figcaption>{code}</figure>\n"

    def formula(self, tokens: list[Token], idx: int, options: object, env: object) -> str:
        del options, env
        return mathematics.mathml(tokens[idx].content, tokens[idx].markup)


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark",
        {"html": False, "breaks": True, "linkify": False, "maxNesting": MAX_NESTING},
        renderer_cls=_Renderer,
    )
    parser.enable(["table", "strikethrough"])
    # A reference definition would vanish from the page although it is in the text.
    parser.disable(["image", "reference", "html_block", "html_inline"])
    parser.inline.ruler.before("escape", "formula", mathematics.formula)
    for rule in (_inert_links, _task_boxes, _lower_headings):
        parser.core.ruler.push(rule.__name__.strip("_"), rule)
    return parser


_parser = _make_parser()


# --- characters that hide or reorder ---

_VISIBLE_FORMAT = {chr(code) for code in (*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2)}
_BLANK_LETTERS = "\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u2800\u3164\uffa0"


def _hidden_characters() -> str:
    """All format and control characters, and letters without ink, as a regex class."""
    hidden = [
        chr(code)
        for code in (*range(0x20000), *range(0xE0000, 0xE1000))  # no others are assigned
        if unicodedata.category(chr(code)) in ("Cf", "Cc")
        and chr(code) not in _VISIBLE_FORMAT
        and chr(code) not in "\t\n\r"
    ]
    return "[" + "".join(map(re.escape, [*hidden, *_BLANK_LETTERS])) + "]"


_HIDDEN = re.compile(f"({_hidden_characters()})\\1*")
_JOINERS = re.compile("(?<=[^\\x00-\\x7f])[\u200c\u200d](?=[^\\x00-\\x7f\u200b-\u200f])")
"""Joiners between letters that need them: in Persian, in Indic scripts, inside emoji."""


def _show_hidden(html: str) -> str:
    if html.isascii() and html.isprintable():
        return html
    needed = {match.start() for match in _JOINERS.finditer(html)}

    def show(match: re.Match[str]) -> str:
        if match.start() in needed and len(match[0]) == 1:
            return match[0]
        times = f"×{len(match[0])}" if len(match[0]) > 1 else ""
        return f"⟦U+{ord(match[1]):04X}{times}⟧"

    return _HIDDEN.sub(show, html)
