"""Whatever the text, the HTML has only our elements, balanced, and no text disappears."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from annotate.rendering import budget, formulas
from annotate.rendering.render import CLASSES, DIRECTED, MAX_MARKDOWN_CHARS, TAGS, render
from tests.conftest import NO_SHARED_DATA, SHARED_DATA
from tests.hostile import ACTIVE, CORPUS, DECEIVING, HEAVY
from tests.real_texts import real_texts

EMPTY = {"br", "hr"}
DIRECTIONS = {"auto", "ltr", "rtl"}
ATTRIBUTES = {
    ("ol", "start"),
    *((tag, name) for tag, names in formulas.ATTRIBUTES.items() for name in names),
}


class Strict(HTMLParser):
    """Reads a fragment as a browser does, and records everything that we did not generate."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: set[str] = set()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        if self.open:
            self.faults.add(f"left open: {self.open}")

    def handle_starttag(self, tag, attrs):
        if tag not in TAGS | formulas.TAGS:
            self.faults.add(f"<{tag}>")
        for name, value in attrs:
            if not self._is_ours(tag, name, value or ""):
                self.faults.add(f"<{tag} {name}={value!r}>")
        if tag not in EMPTY:
            self.open.append(tag)

    def _is_ours(self, tag, name, value):
        if name == "dir":
            return tag in {*DIRECTED, "pre", "math"} and value in DIRECTIONS
        if name == "class":
            return value in CLASSES.get(tag, ())
        return (tag, name) in ATTRIBUTES

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.add(f"</{tag}>")

    def handle_data(self, data):
        self.texts.append(data)

    def handle_comment(self, data):
        self.faults.add(f"comment {data!r}")

    handle_decl = handle_pi = unknown_decl = handle_comment


def strict(text: str) -> Strict:
    return Strict(render(text))


def letters(text: str) -> set[str]:
    """The words of ``text`` that Markdown leaves alone: runs of three or more letters."""
    return set(re.findall(r"[^\W\d_]{3,}", text))


@pytest.mark.parametrize("name", CORPUS)
def test_only_our_elements_come_out_balanced_and_nothing_is_cut_off(name):
    page = strict(CORPUS[name])
    assert not page.faults
    assert name not in HEAVY or "deep" in "".join(page.texts)


@pytest.mark.parametrize("name", {**ACTIVE, **DECEIVING})
def test_the_plain_form_has_paragraphs_and_line_breaks_alone(name):
    page = strict(CORPUS[name] + "\n" + "x" * MAX_MARKDOWN_CHARS)
    assert not page.faults
    assert set(re.findall(r"<(\w+)", render(CORPUS[name] + "x" * MAX_MARKDOWN_CHARS))) <= {
        "p",
        "br",
    }


UNREADABLE = {"lone surrogates", "NUL", "control characters"}


@pytest.mark.parametrize("name", [name for name in ACTIVE if name not in UNREADABLE])
def test_the_words_of_an_attack_can_be_read(name):
    shown = "".join(strict(ACTIVE[name]).texts)
    lost = letters(ACTIVE[name]) - letters(shown)
    assert lost <= {"amp", "quot", "gt", "lt", "colon", "text"}  # entities, LaTeX


@pytest.mark.parametrize("name", DECEIVING)
def test_nothing_that_hides_or_reorders_is_left(name):
    html = render(DECEIVING[name])
    assert not re.search("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u3164\u2800]", html)
    assert not re.search("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2}|[\U000e0000-\U000e007f]", html)
    assert not re.search("[\u0300-\u036f\u0489\u20dd]{9}", html)


@pytest.mark.parametrize("name", [name for name, text in HEAVY.items() if len(text) < 100_000])
def test_the_parser_is_stopped_at_the_first_step_too_many(name, monkeypatch):
    tried = []
    spend = budget.RenderBudget.spend

    def watched(self, steps):
        assert self.steps >= 0, "went on after it had been stopped"
        tried.append(steps)
        spend(self, steps)

    monkeypatch.setattr(budget.RenderBudget, "spend", watched)
    render(HEAVY[name])
    assert len(tried) <= budget.MAX_STEPS + 1


def test_a_table_is_charged_for_the_cells_it_would_fill_in():
    wide = "|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n"
    assert "<table" in render(wide + "a\n" * 10)
    assert "<table" not in render(wide + "a\n" * 100)


@pytest.mark.parametrize("length", [60, 50_000])
def test_ordinary_answers_of_any_length_up_to_50_kB_are_laid_out(length):
    paragraph = "Some *words* of an ordinary answer, `with code`, in long sentences of prose.\n\n"
    text = (paragraph * (length // len(paragraph) + 1))[: max(length, len(paragraph))]
    assert "<em>words</em>" in render(text)


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason=NO_SHARED_DATA)
def test_every_real_text_is_whole_and_safe():
    faults = {}
    for text, name in {text: name for name, text in real_texts()}.items():
        page = strict(text)
        shown = "".join("".join(page.texts).split())
        lost = {word for word in letters(_CONSUMED.sub(" ", text)) if word not in shown}
        if page.faults or lost:
            faults[name, text[:60]] = page.faults, sorted(lost)[:5]
    assert not faults


_CONSUMED = re.compile(r"\\[A-Za-z]+|&#?\w+;")
"""LaTeX commands and entities, whose letters are shown as symbols."""
