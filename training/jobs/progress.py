"""How far a piece of work is and how long it has to go. Pure functions of numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

Mark = tuple[float, int]
"""A moment (Unix time, seconds) at which a step was done."""

RECENT_MARKS = 20
TAIL_BYTES = 128 * 1024
"""More than those lines take: the file of a long round is not read whole twice a second."""


def seconds_left(marks: Sequence[Mark], *, total_steps: int, now: float) -> float | None:
    """Seconds until ``total_steps``, at the pace of the last twenty ``marks`` (oldest first).

    None before two marks give a pace. The recent ones alone count, so neither a slow start nor
    a pause between two attempts is carried along.
    """
    recent = marks[-RECENT_MARKS:]
    if len(recent) < 2:
        return None
    (began, first), (ended, last) = recent[0], recent[-1]
    if last <= first or ended <= began or total_steps <= last:
        return None
    left = (total_steps - last) * (ended - began) / (last - first)
    return max(0.0, left - max(0.0, now - ended))


def marks_of(run_dir: Path) -> list[Mark]:
    """The training steps that ``metrics.jsonl`` of a run directory has times for.

    Empty where there is no such file here; a line still being written is left out.
    """
    try:
        with (run_dir / "metrics.jsonl").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines()
    except OSError:
        return []
    marks = []
    for line in lines[-4 * RECENT_MARKS :]:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("split") == "train":
            marks.append((float(entry["time"]), int(entry["step"])))
    return marks


def in_words(seconds: float) -> str:
    """A length of time as a person would say it: "about 4 minutes"."""
    if seconds < 45:
        return _("less than a minute")
    minutes, hours = max(1, round(seconds / 60)), max(1, round(seconds / 3600))
    if minutes < 90:
        message = ngettext("about %(count)d minute", "about %(count)d minutes", minutes)
        return message % {"count": minutes}
    if hours < 36:
        return ngettext("about %(count)d hour", "about %(count)d hours", hours) % {"count": hours}
    days = round(seconds / 86_400)
    return ngettext("about %(count)d day", "about %(count)d days", days) % {"count": days}


def percent(done: int, total: int) -> int:
    """Whole per cent, 100 only when all is done."""
    if total <= 0:
        return 0
    return min(100, 100 * done // total)
