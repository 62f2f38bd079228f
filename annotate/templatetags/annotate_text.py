"""Filters for text that people and models wrote."""

from django import template
from django.utils.safestring import SafeString

from annotate.content import completions
from annotate.models import Completion
from annotate.rendering.render import render

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """Untrusted Markdown as sanitised HTML."""
    return render(text)


@register.filter
def safe_html(completion: Completion) -> SafeString:
    """A completion's HTML, as the current renderer makes it."""
    return completions.safe_html(completion)
