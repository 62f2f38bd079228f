"""The glossary of docs and pages: ``docs/glossary.md``, and German in ``docs/glossary.de.md``."""

from __future__ import annotations

import dataclasses
from functools import cache
from html import unescape

from django.conf import settings
from django.utils.html import strip_tags
from django.utils.safestring import SafeString
from django.utils.text import slugify

from annotate.rendering.render import render


@dataclasses.dataclass(frozen=True)
class Term:
    """A term and what it means."""

    slug: str
    title: str
    html: SafeString

    @property
    def words(self) -> str:
        """The meaning as plain text."""
        return " ".join(unescape(strip_tags(self.html)).split())


@cache
def terms(language: str) -> dict[str, Term]:
    """The terms by slug, in the file's order; English where ``language`` has no file."""
    path = settings.DOCS_DIR / f"glossary.{language}.md"
    if not path.exists():
        path = settings.DOCS_DIR / "glossary.md"
    _head, *parts = path.read_text(encoding="utf-8").split("\n## ")
    by_slug = {}
    for part in parts:
        heading, _newline, text = part.partition("\n")
        title, _brace, slug = heading.rstrip("}").partition(" {#")
        slug = slug or slugify(title).strip("-")
        by_slug[slug] = Term(slug, title, render(" ".join(text.split())))
    return by_slug
