"""The charts of the pages: which numbers are drawn, in which look, under which words."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.numbers import grouped
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
            _("Loss"),
            _(
                "Falls as the policy learns to tell chosen from rejected; 0.69 is no better than "
                "a coin."
            ),
            _number(2),
            _both("loss"),
            curves,
            last_step,
        ),
        _figure(
            _("Reward accuracy"),
            _("How often the chosen answer gets the higher reward."),
            in_percent,
            _both("reward_accuracy"),
            curves,
            last_step,
        ),
        _figure(
            _("Reward margin"),
            _("By how much the chosen answer's reward is ahead of the rejected one's."),
            _number(2),
            _both("reward_margin"),
            curves,
            last_step,
        ),
        _figure(
            _("Log-probability"),
            _("How likely the policy finds the answers. Chosen should not fall far."),
            _number(0),
            [
                (_("Chosen, training"), "train chosen", "train/logp_chosen"),
                (_("Chosen, held-out"), "held-out chosen", "held_out/logp_chosen"),
                (_("Rejected, training"), "train rejected", "train/logp_rejected"),
                (_("Rejected, held-out"), "held-out rejected", "held_out/logp_rejected"),
            ],
            curves,
            last_step,
        ),
    ]


def compared_figures(a: Round, of_a: Curves, b: Round, of_b: Curves) -> list[Figure]:
    """The same metric of two rounds over each other, on held-out pairs."""
    names = {
        side: _("Round %(number)s") % {"number": one.number} for side, one in (("a", a), ("b", b))
    }
    curves = {
        f"{side}/{name}": curve
        for side, found in (("a", of_a), ("b", of_b))
        for name, curve in found.items()
    }
    last_step = max(a.total_steps, b.total_steps, 1)
    drawn = [
        (_("Loss"), "loss", _number(2)),
        (_("Reward accuracy"), "reward_accuracy", in_percent),
        (_("Reward margin"), "reward_margin", _number(2)),
        (_("Log-probability of the chosen answer"), "logp_chosen", _number(1)),
    ]
    return [
        _figure(
            title,
            _("On held-out pairs, by step."),
            words,
            [
                (names["a"], "held-out round-a", f"a/held_out/{metric}"),
                (names["b"], "round-b", f"b/held_out/{metric}"),
            ],
            curves,
            last_step,
        )
        for title, metric, words in drawn
    ]


def _both(metric: str) -> list[_Drawn]:
    return [
        (_("Training pairs"), "train", f"train/{metric}"),
        (_("Held-out pairs"), "held-out", f"held_out/{metric}"),
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
        hover = _("Step %(step)s: %(value)s · %(name)s")
        points = [
            Point(step, y, hover % {"step": step, "value": _number(3)(y), "name": name})
            for step, y in curve
        ]
        drawn.append(Line(name, look, points))
        first, last = words(curve[0][1]), words(curve[-1][1])
        legend.append((name, look, f"{first} → {last}"))
    summary = _("%(title)s by step. %(changes)s.") % {
        "title": title,
        "changes": "; ".join(f"{name}: {change}" for name, look, change in legend),
    }
    svg = line_chart(drawn, summary=summary, y_words=words, x_range=(0, last_step))
    return Figure(title, help, svg, legend)


def win_rate_chart(meetings: Sequence[Meeting]) -> SafeString:
    """Each round's share of wins against what it came from, with 95 % intervals."""
    summary = "; ".join(
        _("round %(number)s %(share)s (%(interval)s)")
        % {
            "number": one.round.number,
            "share": in_percent(one.held_out.value),
            "interval": interval_in_percent(one.held_out),
        }
        for one in meetings
        if one.held_out.decided
    )
    return estimate_chart(
        [
            Estimates(
                _("Held-out prompts"),
                "wins held-out",
                [_estimate(one, one.held_out, _("held-out prompts")) for one in meetings],
            ),
            Estimates(
                _("All prompts"),
                "wins everywhere",
                [_estimate(one, one.everywhere, _("all prompts")) for one in meetings],
            ),
        ],
        labels=[_("Round %(number)s") % {"number": one.round.number} for one in meetings],
        summary=_("Share of wins on held-out prompts by round: %(rounds)s.")
        % {"rounds": summary or _("none yet")},
        y_words=in_percent,
        y_labels=[0, 0.25, 0.5, 0.75, 1],
    )


def _estimate(meeting: Meeting, share: Share, where: str) -> Estimate | None:
    if share.value is None or share.interval is None:
        return None
    words = ngettext(
        "Round %(number)s against %(opponent)s: %(share)s (%(interval)s) of %(verdicts)s verdict "
        "on %(where)s",
        "Round %(number)s against %(opponent)s: %(share)s (%(interval)s) of %(verdicts)s verdicts "
        "on %(where)s",
        share.decided,
    )
    told = {
        "number": meeting.round.number,
        "opponent": meeting.opponent.slug,
        "share": in_percent(share.value),
        "interval": interval_in_percent(share),
        "verdicts": grouped(share.decided),
        "where": where,
    }
    return Estimate(share.value, *share.interval, words % told)


def _number(digits: int) -> Callable[[float], str]:
    """A number with a true minus sign, and the language's own decimal sign."""
    return lambda value: number_format(f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")
