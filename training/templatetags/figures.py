"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django import template
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext_lazy

from annotate.formatting import grouped
from annotate.rendering.hidden_characters import show_hidden
from training.jobs.phases import phase_in_words
from training.jobs.progress import in_words
from training.stats.win_rates import THIN, WinRate, in_percent, interval_in_percent

register = template.Library()

AGO = {
    "year": ngettext_lazy("%(num)d year ago", "%(num)d years ago", "num"),
    "month": ngettext_lazy("%(num)d month ago", "%(num)d months ago", "num"),
    "week": ngettext_lazy("%(num)d week ago", "%(num)d weeks ago", "num"),
    "day": ngettext_lazy("%(num)d day ago", "%(num)d days ago", "num"),
    "hour": ngettext_lazy("%(num)d hour ago", "%(num)d hours ago", "num"),
    "minute": ngettext_lazy("%(num)d minute ago", "%(num)d minutes ago", "num"),
}
"""Whole phrases: in some languages the word for the unit is another one after "ago"."""


@register.filter
def count(number: int | None) -> str:
    """A whole number in groups of three: 12,480, or as the language has it."""
    return "–" if number is None else grouped(number)


@register.filter
def money(amount: Decimal, currency: str) -> str:
    """An amount with its currency: 12.40 USD; the cents' cents where it is less than one."""
    places = 2 if amount >= 1 else 4
    return f"{number_format(amount, decimal_pos=places, force_grouping=True)}{THIN}{currency}"


register.filter("percent", in_percent)
register.filter("between", interval_in_percent)
register.filter("phase", phase_in_words)


@register.filter
def ago(moment: datetime | None) -> SafeString:
    """A moment as "2 hours ago", the exact one on hover."""
    if moment is None:
        return SafeString("–")
    local = timezone.localtime(moment)
    is_recent = timezone.now() - moment < timedelta(minutes=1)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        local.isoformat(timespec="seconds"),
        f"{date_format(local, 'DATE_FORMAT')}, {date_format(local, 'H:i:s T')}",
        _("just now") if is_recent else timesince(moment, depth=1, time_strings=AGO),  # type: ignore[arg-type]
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


@register.filter
def hidden_shown(text: str) -> SafeString:
    """Text of a model or a stranger as HTML, its hidden characters made visible."""
    return SafeString(show_hidden(escape(text)))


@register.inclusion_tag("policies/_interval.html")
def interval_bar(share: WinRate) -> dict[str, str]:
    """A share and its interval on a scale of 160 px from 0 to 100 %, with the half marked."""
    low, high = share.interval or (0.0, 0.0)
    return {
        "low": f"{160 * low:.1f}",
        "high": f"{160 * high:.1f}",
        "value": f"{160 * (share.value or 0):.1f}",
    }
