"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from training.progress import in_words
from training.shares import Share

register = template.Library()
THIN = "\N{NARROW NO-BREAK SPACE}"


@register.filter
def count(number: int | None) -> str:
    """A whole number in groups of three: 12,480."""
    return "–" if number is None else f"{number:,}"


@register.filter
def percent(value: float | None) -> str:
    """A share as "61 %"; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f}{THIN}%"


@register.filter
def between(share: Share) -> str:
    """A share's interval as "55–67 %"; empty where there is none."""
    if share.interval is None:
        return ""
    low, high = share.interval
    return f"{100 * low:.0f}–{100 * high:.0f}{THIN}%"


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A moment as "2 hours ago", the exact one on hover."""
    if moment is None:
        return SafeString("–")
    local = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        date_format(local, "j F Y, H:i:s T"),
        naturaltime(moment),
    )


@register.filter
def took(began: datetime | None, ended: datetime | None) -> str:
    """The time between two moments: "3 min 12 s"; a dash where one is missing."""
    if began is None or ended is None:
        return "–"
    seconds = round((ended - began).total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours}{THIN}h {minutes}{THIN}min"
    return f"{minutes}{THIN}min {seconds % 60}{THIN}s" if minutes else f"{seconds}{THIN}s"


@register.filter
def duration(seconds: float | None) -> str:
    """Seconds as "about 4 minutes"; empty where unknown."""
    return "" if seconds is None else in_words(seconds)
