"""The charts of the pages: which numbers are drawn, in which look, under which words."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from django.utils import timezone
from django.utils.safestring import SafeString

from training.charts import Point, Series, chart, thinned
from training.models import Round
from training.overview import Meeting
from training.progress import marks_of, seconds_left
from training.shares import Share
from training.templatetags.figures import between, percent

Curves = dict[str, list[tuple[int, float]]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One chart of a round, with its legend as (words, look) and its last values."""

    title: str
    help: str
    svg: SafeString
    legend: list[tuple[str, str]]
    values: list[tuple[str, str]]


def curves_of(round_: Round) -> Curves:
    """The round's metrics by name, each as (step, value) by step."""
    curves: Curves = defaultdict(list)
    for step, name, value in round_.metrics.order_by("step").values_list("step", "name", "value"):
        curves[name].append((step, value))
    return curves


def time_left_of(round_: Round) -> float | None:
    """Seconds of training left, where the round's run directory can be read."""
    if round_.phase not in ("training", "evaluating") or not round_.run_dir:
        return None
    return seconds_left(
        marks_of(Path(round_.run_dir)),
        total_steps=round_.total_steps,
        now=timezone.now().timestamp(),
    )


def round_figures(round_: Round, curves: Curves) -> list[Figure]:
    """Loss and reward accuracy first, then margins and log-probabilities."""

    def figure(title: str, help: str, words: Callable[[float], str], *lines: _Line) -> Figure:
        return _figure(title, help, words, lines, curves, max(round_.total_steps, 1))

    two = ("Training pairs", "train"), ("Held-out pairs", "held-out")
    return [
        figure(
            "Loss",
            "Falls as the policy learns to tell chosen from rejected; 0.69 is no better than "
            "a coin.",
            "{:.2f}".format,
            *[(name, look, f"{key}/loss") for (name, look), key in zip(two, KEYS, strict=True)],
        ),
        figure(
            "Reward accuracy",
            "How often the chosen answer gets the higher reward.",
            percent,
            *[
                (name, look, f"{key}/reward_accuracy")
                for (name, look), key in zip(two, KEYS, strict=True)
            ],
        ),
        figure(
            "Reward margin",
            "By how much the chosen answer's reward is ahead of the rejected one's.",
            "{:.2f}".format,
            *[
                (name, look, f"{key}/reward_margin")
                for (name, look), key in zip(two, KEYS, strict=True)
            ],
        ),
        figure(
            "Log-probability",
            "How likely the policy finds the answers. Chosen should not fall far.",
            "{:.0f}".format,
            ("Chosen, training", "train chosen", "train/logp_chosen"),
            ("Chosen, held-out", "held-out chosen", "held_out/logp_chosen"),
            ("Rejected, training", "train rejected", "train/logp_rejected"),
            ("Rejected, held-out", "held-out rejected", "held_out/logp_rejected"),
        ),
    ]


KEYS = ("train", "held_out")
_Line = tuple[str, str, str]
"""Words, look, metric."""


def _figure(
    title: str,
    help: str,
    words: Callable[[float], str],
    lines: Sequence[_Line],
    curves: Curves,
    last_step: int,
) -> Figure:
    series, values = [], []
    for name, look, metric in lines:
        curve = curves.get(metric)
        if not curve:
            continue
        points = [Point(step, y, f"Step {step}: {y:.3f} · {name}") for step, y in curve]
        series.append(Series(name, look, thinned(points)))
        first, last = curve[0][1], curve[-1][1]
        values.append((name, f"{words(first)} → {words(last)}"))
    summary = "; ".join(f"{name}: {change}" for name, change in values)
    svg = chart(
        series,
        summary=f"{title} by step. {summary}.",
        y_words=words,
        x_range=(0, last_step),
    )
    return Figure(title, help, svg, [(one.name, one.look) for one in series], values)


def win_rate_chart(meetings: Sequence[Meeting]) -> SafeString:
    """Each round's share of wins against what it came from, with 95 % intervals."""
    held_out = [_point(one.round.number, one, one.held_out, "held-out prompts") for one in meetings]
    everywhere = [
        _point(one.round.number + 0.14, one, one.everywhere, "all prompts") for one in meetings
    ]
    series = [
        Series("Held-out prompts", "wins held-out", [p for p in held_out if p]),
        Series("All prompts", "wins everywhere", [p for p in everywhere if p]),
    ]
    if not any(one.points for one in series):
        return SafeString("")
    numbers = [one.round.number for one in meetings]
    summary = "; ".join(
        f"round {one.round.number} {percent(one.held_out.value)} ({between(one.held_out)})"
        for one in meetings
        if one.held_out.decided
    )
    return chart(
        series,
        summary=f"Share of wins on held-out prompts by round: {summary or 'none yet'}.",
        y_words=lambda share: percent(share),
        y_labels=[0, 0.25, 0.5, 0.75, 1],
        y_range=(0, 1),
        x_labels=numbers,
        x_words=lambda number: f"Round {number:g}",
        x_range=(min(numbers) - 0.5, max(numbers) + 0.5),
        height=250,
    )


def _point(x: float, meeting: Meeting, share: Share, where: str) -> Point | None:
    if share.value is None or share.interval is None:
        return None
    low, high = share.interval
    words = (
        f"Round {meeting.round.number} against {meeting.opponent.slug}: {percent(share.value)} "
        f"({between(share)}) of {share.decided:,} verdicts on {where}"
    )
    return Point(x, share.value, words, low, high)
