"""Filters for text that people and models wrote."""

from django import template
from django.utils.safestring import SafeString

from annotate.rendering import render

register = template.Library()


@register.filter
def markdown(text: str) -> SafeString:
    """Untrusted Markdown as sanitised HTML."""
    return render(text)
