"""A "?" beside a rarer term, which leads to its place in the glossary."""

from __future__ import annotations

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from annotate.glossary import terms

register = template.Library()


@register.simple_tag
def term(slug: str) -> SafeString:
    """A link to the term; its meaning shows on hover. Raises KeyError for an unknown term."""
    entry = terms(get_language() or "en")[slug]
    label = _("What is “%(term)s”?") % {"term": entry.title}
    return format_html(
        '<a class="term" href="{}#{}" title="{}" aria-label="{}">?</a>',
        *(reverse("glossary"), slug, entry.words, label),
    )
