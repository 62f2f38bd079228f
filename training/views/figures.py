"""The charts of the pages: which numbers are drawn, in which look, under which words."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from django.db.models import F, Q
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped
from training.jobs.phases import STEPPING
from training.models import Round
from training.projects.overview import HeadToHead
from training.stats.win_rates import WinRate, in_percent, interval_in_percent
from training.views.rounds.charts import (
    ChartLine,
    ChartPoint,
    Estimates,
    Point,
    estimate_chart,
    line_chart,
)

NAMES = ("loss", "reward_accuracy", "reward_margin", "logp_chosen", "logp_rejected")
OF_STEPS = ("grad_norm", "learning_rate", "tokens_per_second", "examples_per_second")
OF_ANSWERS = ("kl", "kl_per_token", "tokens", "cut_share")
DRAWN = [
    *(f"{key}/{name}" for key in ("train", "held_out") for name in NAMES),
    *(f"train/{name}" for name in OF_STEPS),
    *(f"answers/{name}" for name in OF_ANSWERS),
]
"""The engine measures more; these are what the page draws and worries about."""
STEPS_READ = 400
"""About this many training steps of a long round are read; evaluations all are."""
ROWS = 12
"""Steps in the table of a figure that has no evaluations."""

Curves = dict[str, list[tuple[int, float]]]
_Drawn = tuple[str, str, str]
"""One line of a figure: its name, its look, its metric."""


TERMS = {"kl": "kl", "reward-margin": "margin", "reward-accuracy": "implicit-reward"}


@dataclasses.dataclass(frozen=True)
class RoundChart:
    """One chart of a round, with its legend as (words, look, first and last value), and some of
    its values as rows of a table, each a step and a cell for each of the legend's names."""

    title: str
    help: str
    svg: SafeString
    legend: list[tuple[str, str, str]]
    key: str = ""
    rows: list[tuple[int, list[str]]] = dataclasses.field(default_factory=list)

    @property
    def term(self) -> str:
        """The glossary's term that the title needs, if any."""
        return TERMS.get(self.key, "")


def curves_of(round_: Round) -> Curves:
    """What is drawn of the round's metrics, by name, each as (step, value) by step.

    Of a long round every n-th training step, counted back from the newest.
    """
    curves: Curves = defaultdict(list)
    drawn = round_.metrics.filter(name__in=DRAWN).order_by("step")
    every = max(1, round_.step // STEPS_READ)
    if every > 1:
        drawn = drawn.annotate(place=(F("step") - round_.step % every + every) % every).filter(
            ~Q(name__startswith="train/") | Q(place=0)
        )
    for step, name, value in drawn.values_list("step", "name", "value"):
        curves[name].append((step, value))
    return curves


def time_left_of(round_: Round) -> float | None:
    """Seconds of training left, as the round's worker told it last."""
    return round_.seconds_left if round_.phase in STEPPING else None


def speed_of(round_: Round, curves: Curves) -> tuple[str, float] | None:
    """Pairs (in words) and tokens a second, over the newest training steps, while it trains."""
    pairs, tokens = (
        [value for _step, value in curves.get(f"train/{name}", [])[-5:]]
        for name in ("examples_per_second", "tokens_per_second")
    )
    if round_.phase not in STEPPING or not pairs or not tokens:
        return None
    mean = sum(pairs) / len(pairs)
    return _number(0 if mean >= 10 else 1)(mean), round(sum(tokens) / len(tokens))


def round_figures(round_: Round, curves: Curves) -> list[RoundChart]:
    """Loss and reward accuracy first, then margins and log-probabilities, then how it runs."""

    last_step = max(round_.total_steps, 1)
    return [
        _figure(
            _("Loss"),
            _meaning_of_loss(round_.kind),
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
        *_running_figures(curves, last_step),
    ]


def _meaning_of_loss(kind: str) -> str:
    if kind == Round.Kind.SFT:
        return _("Falls as the chosen answers become likelier: in nats a token.")
    if kind == Round.Kind.REWARD:
        return _("Falls as it learns to tell chosen from rejected; 0.69 is chance level.")
    return _("Falls as the policy learns to tell chosen from rejected; 0.69 is chance level.")


def _running_figures(curves: Curves, last_step: int) -> list[RoundChart]:
    """How far the policy has gone, and how the training itself does."""
    answers = _("Answers to fixed prompts")
    steps = _("Every step")
    return [
        _figure(
            _("Distance to the reference"),
            _(
                "KL divergence of its own answers from the reference, in nats per answer; 0 "
                "means no change."
            ),
            _number(2),
            [(answers, "held-out", "answers/kl")],
            curves,
            last_step,
        ),
        _figure(
            _("Length of answers"),
            _("Tokens of its answers to the same prompts; longer ones are cut."),
            _number(0),
            [(answers, "held-out", "answers/tokens")],
            curves,
            last_step,
        ),
        _figure(
            _("Gradient norm"),
            _("Before clipping. A jump is the first sign of unstable training."),
            _number(2),
            [(steps, "train only", "train/grad_norm")],
            curves,
            last_step,
        ),
        _figure(
            _("Learning rate"),
            _("Rises during warm-up, then decays to the end."),
            _rate,
            [(steps, "train only", "train/learning_rate")],
            curves,
            last_step,
        ),
        _figure(
            _("Throughput"),
            _("Tokens of prompts and answers trained on per second."),
            _number(0),
            [(steps, "train only", "train/tokens_per_second")],
            curves,
            last_step,
        ),
    ]


def _rate(value: float) -> str:
    """A learning rate: 2.0e-5."""
    mantissa, _sign, exponent = f"{value:.1e}".partition("e")
    return f"{number_format(mantissa)}e{int(exponent)}" if value else "0"


def compared_figures(a: Round, of_a: Curves, b: Round, of_b: Curves) -> list[RoundChart]:
    """The same metric of two rounds over each other, on held-out pairs."""
    names = {
        side: _("Round %(number)s") % {"number": round_.number}
        for side, round_ in (("a", a), ("b", b))
    }
    curves = {
        f"{side}/{name}": curve
        for side, side_curves in (("a", of_a), ("b", of_b))
        for name, curve in side_curves.items()
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
            label_of,
            [
                (names["a"], "held-out round-a", f"a/held_out/{metric}"),
                (names["b"], "round-b", f"b/held_out/{metric}"),
            ],
            curves,
            last_step,
        )
        for title, metric, label_of in drawn
    ]


def _both(metric: str) -> list[_Drawn]:
    return [
        (_("Training pairs"), "train", f"train/{metric}"),
        (_("Held-out pairs"), "held-out", f"held_out/{metric}"),
    ]


def _figure(
    title: str,
    help: str,
    label_of: Callable[[float], str],
    lines: Sequence[_Drawn],
    curves: Curves,
    last_step: int,
) -> RoundChart:
    drawn, legend = [], []
    for name, look, metric in lines:
        curve = curves.get(metric)
        if not curve:
            continue
        hover = _("Step %(step)s: %(value)s · %(name)s")
        exact = label_of if label_of is _rate else _number(3)
        points = [
            Point(step, y, hover % {"step": step, "value": exact(y), "name": name})
            for step, y in curve
        ]
        drawn.append(ChartLine(name, look, points))
        first, last = label_of(curve[0][1]), label_of(curve[-1][1])
        legend.append((name, look, f"{first} → {last}"))
    summary = _("%(title)s by step. %(changes)s.") % {
        "title": title,
        "changes": "; ".join(f"{name}: {change}" for name, look, change in legend),
    }
    svg = line_chart(drawn, summary=summary, y_words=label_of, x_range=(0, last_step))
    exact = label_of if label_of in (_rate, in_percent) else _number(3)
    present = {metric: curves[metric] for _name, _look, metric in lines if curves.get(metric)}
    key = lines[0][2].rpartition("/")[2].replace("_", "-")
    return RoundChart(title, help, svg, legend, key, _table(present, exact))


def _table(
    curves: Mapping[str, Sequence[tuple[int, float]]], label_of: Callable[[float], str]
) -> list[tuple[int, list[str]]]:
    """The evaluations' steps where the figure has such, else some steps, evenly."""
    every = [{step for step, _value in curve} for curve in curves.values()]
    evaluated = [
        {step for step, _value in curve}
        for metric, curve in curves.items()
        if not metric.startswith("train/")
    ]
    steps = sorted(set().union(*(evaluated or every)))
    if not evaluated:
        steps = steps[::-1][:: max(1, -(-len(steps) // ROWS))][::-1]
    by_step = [dict(curve) for curve in curves.values()]
    return [
        (step, [label_of(values[step]) if step in values else "–" for values in by_step])
        for step in steps
    ]


def win_rate_chart(meetings: Sequence[HeadToHead]) -> SafeString:
    """Each round's share of wins against what it came from, with 95 % intervals."""
    summary = "; ".join(
        _("round %(number)s %(share)s (%(interval)s)")
        % {
            "number": meeting.round.number,
            "share": in_percent(meeting.held_out.value),
            "interval": interval_in_percent(meeting.held_out),
        }
        for meeting in meetings
        if meeting.held_out.decided
    )
    return estimate_chart(
        [
            Estimates(
                _("Held-out prompts"),
                "wins held-out",
                [
                    _estimate(meeting, meeting.held_out, _("held-out prompts"))
                    for meeting in meetings
                ],
            ),
            Estimates(
                _("All prompts"),
                "wins everywhere",
                [_estimate(meeting, meeting.everywhere, _("all prompts")) for meeting in meetings],
            ),
        ],
        labels=[_("Round %(number)s") % {"number": meeting.round.number} for meeting in meetings],
        summary=_("Share of wins on held-out prompts by round: %(rounds)s.")
        % {"rounds": summary or _("none yet")},
        y_words=in_percent,
        y_labels=[0, 0.25, 0.5, 0.75, 1],
    )


def _estimate(meeting: HeadToHead, share: WinRate, where: str) -> ChartPoint | None:
    if share.value is None or share.interval is None:
        return None
    label = ngettext(
        "Round %(number)s against %(opponent)s: %(share)s (%(interval)s) of %(verdicts)s verdict "
        "on %(where)s",
        "Round %(number)s against %(opponent)s: %(share)s (%(interval)s) of %(verdicts)s verdicts "
        "on %(where)s",
        share.decided,
    )
    values = {
        "number": meeting.round.number,
        "opponent": meeting.opponent.slug,
        "share": in_percent(share.value),
        "interval": interval_in_percent(share),
        "verdicts": grouped(share.decided),
        "where": where,
    }
    return ChartPoint(share.value, *share.interval, label % values)


def _number(digits: int) -> Callable[[float], str]:
    """A number with a true minus sign, and the language's own decimal sign."""
    return lambda value: number_format(f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")
