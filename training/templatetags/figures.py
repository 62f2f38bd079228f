"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from training.progress import in_words
from training.shares import THIN, Share, in_percent, interval_in_percent

register = template.Library()


@register.filter
def count(number: int | None) -> str:
    """A whole number in groups of three: 12,480, or as the language has it."""
    return "–" if number is None else number_format(number, force_grouping=True)


register.filter("percent", in_percent)
register.filter("between", interval_in_percent)


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A moment as "2 hours ago", the exact one on hover."""
    if moment is None:
        return SafeString("–")
    local = timezone.localtime(moment)
    since = timesince(moment, depth=1)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        date_format(local, "j F Y, H:i:s T"),
        _("just now") if since.startswith("0") else _("%(since)s ago") % {"since": since},
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


@register.inclusion_tag("training/_interval.html")
def interval_bar(share: Share) -> dict[str, str]:
    """A share and its interval on a scale of 160 px from 0 to 100 %, with the half marked."""
    low, high = share.interval or (0.0, 0.0)
    return {
        "low": f"{160 * low:.1f}",
        "high": f"{160 * high:.1f}",
        "value": f"{160 * (share.value or 0):.1f}",
    }
