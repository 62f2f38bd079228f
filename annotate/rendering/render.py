"""Untrusted text to HTML that is safe on our pages and hides nothing from a rater.

Models and data sets write the text; none of it is trusted. Markdown is parsed without raw
HTML and without images, then nh3 lets through a short list of elements. No attribute is
taken from the text. Beyond safety, a rater must see what a round would train on: links show
their whole address and lead nowhere, reference definitions and code labels stay visible, and
characters that reorder or hide text appear as their code points.
"""

from __future__ import annotations

import re
from html import escape

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from annotate.rendering import budget, formulas
from annotate.rendering import code as highlighting
from annotate.rendering import markdown_rules as rules
from annotate.rendering.hidden_characters import show_hidden

VERSION = 3
"""Counted up when the same text comes out differently: stored HTML is then rendered again."""

MAX_MARKDOWN_CHARS = 65_536
"""Longer text is shown plain."""

MAX_NESTING = 20
"""Deeper than this the parser would drop text, so the whole is shown plain."""

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote"),
    *("pre", "code", "figure", "figcaption", "span", "em", "strong", "s"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
DIRECTED = ("p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table", "th", "td", "code")
CLASSES = {"span": set(highlighting.CLASSES.values()), "li": {"task"}}

_cleaner = nh3.Cleaner(
    tags=TAGS | formulas.TAGS,
    attributes={"ol": {"start"}} | formulas.ATTRIBUTES,
    tag_attribute_values={tag: {"dir": {"auto", "ltr", "rtl"}} for tag in DIRECTED},
    allowed_classes=CLASSES,
    clean_content_tags=set(),
    url_schemes=set(),
    link_rel=None,
    set_tag_attribute_values={tag: {"dir": "ltr"} for tag in ("pre", "math")},
)


def render(text: str) -> SafeString:
    """``text``, read as Markdown, as safe HTML; as plain paragraphs where it is too much.

    Never raises and never loses text: what Markdown cannot show is shown as it was written.
    """
    text = _SURROGATES.sub("\ufffd", text)
    html = _markdown(text) if len(text) <= MAX_MARKDOWN_CHARS else None
    return mark_safe(show_hidden(_plain(text) if html is None else html))  # noqa: S308


_SURROGATES = re.compile("[\ud800-\udfff]")


def _markdown(text: str) -> str | None:
    """The HTML, or None where the text is nested too deep or costs too much."""
    env = {"budget": budget.RenderBudget()}
    try:
        tokens = _parser.parse(text, env)
    except budget.OverBudget:
        return None
    if any(token.level >= MAX_NESTING - 1 for token in tokens):
        return None
    return _cleaner.clean(_parser.renderer.render(tokens, _parser.options, env))


def _plain(text: str) -> str:
    paragraphs = re.split(r"\n[ \t]*\n\s*", escape(text.strip("\n")))
    return "\n".join(
        '<p dir="auto">' + paragraph.replace("\n", "<br>") + "</p>"
        for paragraph in paragraphs
        if paragraph and not paragraph.isspace()
    )


class _Renderer(RendererHTML):
    def fence(self, tokens: list[Token], idx: int, options: object, env: object) -> str:  # type: ignore[override]
        """A code block, under its label where it has one."""
        del options
        label, code = tokens[idx].info.strip(), tokens[idx].content
        coloured = budget.of(env).affords_code(code)
        shown = highlighting.highlight(code, label) if coloured else escape(code)
        block = f"<pre><code>{shown}</code></pre>\n"
        if not label:
            return block
        return f"<figure><figcaption>{escape(label)}</figcaption>{block}</figure>\n"

    def formula(self, tokens: list[Token], idx: int, options: object, env: object) -> str:
        """A formula in MathML, or as it was written."""
        del options
        left, formula = budget.of(env), (tokens[idx].content, tokens[idx].markup)
        if formula not in left.formulas:
            typeset = left.affords_formula(formula[0])
            show = formulas.mathml if typeset else formulas.as_written
            left.formulas[formula] = show(*formula)
        return left.formulas[formula]


def _make_parser() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark",
        {"html": False, "breaks": True, "linkify": False, "maxNesting": MAX_NESTING},
        renderer_cls=_Renderer,
    )
    parser.enable(["table", "strikethrough"])
    # A reference definition would vanish from the page although it is in the text.
    parser.disable(["image", "reference", "html_block", "html_inline"])
    parser.inline.ruler.before("text", "budget", budget.count_inline)
    parser.inline.ruler.before("escape", "formula", formulas.formula)
    parser.inline.ruler.before("escape", "bare_address", rules.bare_address)
    parser.inline.ruler.before("emphasis", "no_emphasis", rules.no_emphasis)
    parser.block.ruler.before(
        "table",
        "budget",
        budget.count_block,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    for rule in (rules.inert_links, rules.task_boxes, rules.lower_headings, rules.directions):
        parser.core.ruler.push(rule.__name__, rule)
    return parser


_parser = _make_parser()
