"""What the clock would do, in sentences: for the page and for the command line."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped
from training.schedule.auto_start import Outlook


def outlook_words(seen: Outlook) -> str:
    """Whether a round would start now, and why, in a sentence or two."""
    verdict, planned = seen.verdict, seen.planned
    if not verdict.starts:
        return _("No round would start automatically now.") + " " + verdict.why
    train = ngettext(
        "Round %(number)s would start automatically now, with %(pairs)s pair.",
        "Round %(number)s would start automatically now, with %(pairs)s pairs.",
        planned.pairs,
    ) % {"number": planned.number, "pairs": grouped(planned.pairs)}
    return f"{train} {_cause(verdict.trigger)}"


def moment_words(moment: datetime, zone: str) -> str:
    """A moment on the clocks of ``zone``, with its weekday."""
    local = moment.astimezone(ZoneInfo(zone))
    return f"{date_format(local, 'l, j F Y, H:i')} ({zone})"


def _cause(trigger: str | None) -> str:
    return {
        "pairs": _("There are enough new pairs."),
        "time": _("Enough time has passed since the last round."),
        "plan": _("A scheduled time has come."),
    }.get(trigger or "", "")
