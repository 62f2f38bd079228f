"""The parts of a round's page that change while it runs, each sent only when it has changed.

The page polls with what it has seen: a version of every part. A part that is as it was is not
sent, so nothing that a person looks at, has opened or holds the focus is replaced without need.
Within charts and samples only their contents are exchanged; the figures themselves stay.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

from django.db.models import Max, Q
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from training.models import Round, RoundSample
from training.rounds.pausing import can_be_resumed
from training.views.figures import RoundChart

SHOWN_STEPS = 200
"""About how many places a chart has for steps."""
PARTS = ("live", "progress", "controls", "concerns", "charts", "samples", "log")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One fixed prompt: what the start answered, what is answered now, and what came between."""

    place: int
    asked: str
    is_held_out: bool
    start: RoundSample | None
    now: RoundSample | None
    between: list[RoundSample]


def samples_of(round_: Round) -> list[Sample]:
    """What the engine wrote to the round's fixed prompts, by place."""
    by_place: dict[int, list[RoundSample]] = {}
    for sample in round_.samples.order_by("place", "step"):
        by_place.setdefault(sample.place, []).append(sample)
    return [
        Sample(
            place=place,
            asked=str(rows[0].messages[-1]["content"]) if rows[0].messages else "",
            is_held_out=rows[0].is_held_out,
            start=rows[0] if rows[0].step == 0 else None,
            now=rows[-1] if rows[-1].step else None,
            between=[row for row in rows[1:-1] if row.step],
        )
        for place, rows in by_place.items()
    ]


def versions(round_: Round, words_of_concerns: list[str]) -> dict[str, str]:
    """What each part of the page looks like now, as a short word that changes with it.

    Charts are drawn again at an evaluation and where the drawing can show it: drawing all of them
    costs a few tenths of a second, and many may be watching.
    """
    newest = round_.metrics.aggregate(
        last=Max("pk"),
        evaluated=Max("pk", filter=~Q(name__startswith="train/")),
        step=Max("step"),
    )
    drawn = (newest["step"] or 0) * SHOWN_STEPS // max(round_.total_steps, SHOWN_STEPS)
    newest_sample = round_.samples.aggregate(last=Max("pk"), place=Max("place"))
    flags = f"{round_.cancel_requested_at is not None}{round_.pause_requested_at is not None}"
    return {
        "live": _short(round_.state, round_.phase, flags),
        "progress": _short(
            round_.state, round_.attempt, round_.phase, round_.step, round_.total_steps
        ),
        "controls": _short(round_.state, flags),
        "concerns": _short(*words_of_concerns),
        "charts": f"{newest['last'] is not None:d}-{drawn}-{newest['evaluated']}"
        f"-{round_.is_finished:d}",
        "samples": f"{newest_sample['place']}-{newest_sample['last']}-{round_.is_finished:d}",
        "log": _short(round_.log_tail),
    }


def seen_of(now: dict[str, str]) -> str:
    """All versions as one word, for the address that the page polls."""
    return ".".join(now[name] for name in PARTS)


def changed_parts(
    request: HttpRequest, now: dict[str, str], context: Callable[[], dict[str, Any]]
) -> SafeString | None:
    """What to send to a page that has ``?seen=``; None where nothing has changed."""
    before = dict(zip(PARTS, request.GET.get("seen", "").split("."), strict=False))
    changed = [name for name in PARTS if before.get(name) != now[name]]
    if not changed:
        return None
    held = context() | {"changed": changed, "is_inside": _inside(before, now)}
    return SafeString(render_to_string("rounds/_changed.html", held, request))


def shown(round_: Round, figures: list[RoundChart]) -> list[RoundChart]:
    """The figures with values; while a round runs, all that its kind will have."""
    if round_.is_finished:
        return [figure for figure in figures if figure.svg]
    absent: set[str] = set()
    if round_.config.get("kind", "dpo") != "dpo":
        absent |= {"reward-accuracy", "reward-margin"}
    if not (round_.config.get("watch") or {}).get("answers"):
        absent |= {"kl", "tokens"}
    return [figure for figure in figures if figure.svg or figure.key not in absent]


def controls(round_: Round) -> dict[str, Any]:
    """What the buttons need to know."""
    return {"can_take_up": can_be_resumed(round_)}


def _inside(before: dict[str, str], now: dict[str, str]) -> dict[str, bool]:
    """Whether the page has the frames of charts and samples already: then only their contents go.

    A round's first number and its end are drawn whole: frames come and go then.
    """
    charts_old, charts_new = before.get("charts", ""), now["charts"]
    places_old, places_new = before.get("samples", ""), now["samples"]
    return {
        "charts": bool(charts_old)
        and charts_old[0] == charts_new[0]
        and charts_old[-2:] == charts_new[-2:],
        "samples": places_old.partition("-")[0] == places_new.partition("-")[0]
        and places_old[-2:] == places_new[-2:],
    }


def _short(*values: Any) -> str:
    return f"{zlib.crc32(repr(values).encode()):x}"
