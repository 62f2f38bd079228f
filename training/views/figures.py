"""The charts of the pages: which numbers are drawn, in which look, under which words."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from django.utils import timezone
from django.utils.safestring import SafeString

from training.charts import Estimate, Estimates, Line, Point, estimate_chart, line_chart
from training.models import Round
from training.overview import Meeting
from training.progress import marks_of, seconds_left
from training.shares import Share, in_percent, interval_in_percent

NAMES = ("loss", "reward_accuracy", "reward_margin", "logp_chosen", "logp_rejected")
DRAWN = [f"{key}/{name}" for key in ("train", "held_out") for name in NAMES]
"""The engine measures more; these are what the page draws and worries about."""

Curves = dict[str, list[tuple[int, float]]]
_Drawn = tuple[str, str, str]
"""One line of a figure: its name, its look, its metric."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One chart of a round, with its legend as (words, look, first and last value)."""

    title: str
    help: str
    svg: SafeString
    legend: list[tuple[str, str, str]]


def curves_of(round_: Round) -> Curves:
    """What is drawn of the round's metrics, by name, each as (step, value) by step."""
    curves: Curves = defaultdict(list)
    drawn = round_.metrics.filter(name__in=DRAWN).order_by("step")
    for step, name, value in drawn.values_list("step", "name", "value"):
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

    last_step = max(round_.total_steps, 1)
    return [
        _figure(
            "Loss",
            "Falls as the policy learns to tell chosen from rejected; 0.69 is no better than "
            "a coin.",
            _number(2),
            _both("loss"),
            curves,
            last_step,
        ),
        _figure(
            "Reward accuracy",
            "How often the chosen answer gets the higher reward.",
            in_percent,
            _both("reward_accuracy"),
            curves,
            last_step,
        ),
        _figure(
            "Reward margin",
            "By how much the chosen answer's reward is ahead of the rejected one's.",
            _number(2),
            _both("reward_margin"),
            curves,
            last_step,
        ),
        _figure(
            "Log-probability",
            "How likely the policy finds the answers. Chosen should not fall far.",
            _number(0),
            [
                ("Chosen, training", "train chosen", "train/logp_chosen"),
                ("Chosen, held-out", "held-out chosen", "held_out/logp_chosen"),
                ("Rejected, training", "train rejected", "train/logp_rejected"),
                ("Rejected, held-out", "held-out rejected", "held_out/logp_rejected"),
            ],
            curves,
            last_step,
        ),
    ]


def _both(metric: str) -> list[_Drawn]:
    return [
        ("Training pairs", "train", f"train/{metric}"),
        ("Held-out pairs", "held-out", f"held_out/{metric}"),
    ]


def _figure(
    title: str,
    help: str,
    words: Callable[[float], str],
    lines: Sequence[_Drawn],
    curves: Curves,
    last_step: int,
) -> Figure:
    drawn, legend = [], []
    for name, look, metric in lines:
        curve = curves.get(metric)
        if not curve:
            continue
        points = [Point(step, y, f"Step {step}: {y:.3f} · {name}") for step, y in curve]
        drawn.append(Line(name, look, points))
        first, last = words(curve[0][1]), words(curve[-1][1])
        legend.append((name, look, f"{first} → {last}"))
    summary = "; ".join(f"{name}: {change}" for name, _, change in legend)
    svg = line_chart(
        drawn, summary=f"{title} by step. {summary}.", y_words=words, x_range=(0, last_step)
    )
    return Figure(title, help, svg, legend)


def win_rate_chart(meetings: Sequence[Meeting]) -> SafeString:
    """Each round's share of wins against what it came from, with 95 % intervals."""
    summary = "; ".join(
        f"round {one.round.number} {in_percent(one.held_out.value)} "
        f"({interval_in_percent(one.held_out)})"
        for one in meetings
        if one.held_out.decided
    )
    return estimate_chart(
        [
            Estimates(
                "Held-out prompts",
                "wins held-out",
                [_estimate(one, one.held_out, "held-out prompts") for one in meetings],
            ),
            Estimates(
                "All prompts",
                "wins everywhere",
                [_estimate(one, one.everywhere, "all prompts") for one in meetings],
            ),
        ],
        labels=[f"Round {one.round.number}" for one in meetings],
        summary=f"Share of wins on held-out prompts by round: {summary or 'none yet'}.",
        y_words=in_percent,
        y_labels=[0, 0.25, 0.5, 0.75, 1],
    )


def _estimate(meeting: Meeting, share: Share, where: str) -> Estimate | None:
    if share.value is None or share.interval is None:
        return None
    words = (
        f"Round {meeting.round.number} against {meeting.opponent.slug}: {in_percent(share.value)} "
        f"({interval_in_percent(share)}) of {share.decided:,} verdicts on {where}"
    )
    return Estimate(share.value, *share.interval, words)


def _number(digits: int) -> Callable[[float], str]:
    """A number with a true minus sign."""
    return lambda value: f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
