"""What the clock would do, for templates."""

from __future__ import annotations

from django import template

from training.estimates.estimate import gib
from training.schedule.auto_start import Outlook
from training.schedule.wording import moment_words
from training.schedule.wording import outlook_words as in_words

register = template.Library()


@register.filter
def outlook_words(seen: Outlook) -> str:
    return in_words(seen)


@register.filter
def next_words(seen: Outlook) -> str:
    return moment_words(seen.next_window, seen.zone) if seen.next_window else ""


@register.filter
def gibibytes(count: int) -> str:
    return gib(count)
