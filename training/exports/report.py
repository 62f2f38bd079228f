"""What a finished round comes to: every figure of its report, its card and a comparison.

Gathered from rows alone; changes nothing. People are counted and never named.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum

from annotate.models import Completion, Judgement
from training.exports.side_by_side import AnswerStyle, answers, styles
from training.models import Metric, Round
from training.stats.win_rates import WinRate

SHOWN_QUANTILES = ("5", "25", "50", "75", "95")


@dataclasses.dataclass(frozen=True)
class Before:
    """A number when the round began, and when it ended."""

    first: float
    last: float


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Shares of held-out pairs on which the chosen answer is ahead; an equal pair is half."""

    rewarded: WinRate
    """By the reward: what has changed since the reference."""
    ranked: WinRate | None
    """By plain likelihood under the new policy."""
    ranked_at_start: WinRate | None
    """By plain likelihood under the policy that it was trained from."""
    ranked_by_reference: WinRate | None
    """By plain likelihood under the reference."""


@dataclasses.dataclass(frozen=True)
class Raters:
    """Who judged what the round learnt from: numbers alone. ``agreement`` is the share of pairs
    of verdicts on the same comparison that are the same; of what was taken back, nothing counts."""

    raters: int
    judgements: int
    agreement: WinRate


@dataclasses.dataclass(frozen=True)
class Cost:
    """What the round took. ``device_seconds`` is computing time, once for every process."""

    wall_seconds: float | None
    device_seconds: float | None
    device: str
    processes: int
    pairs: int | None
    """Pairs that were learnt from, each as often as it was met."""
    tokens: int | None
    """Of prompts and answers, in training and evaluation."""
    tokens_per_second: float | None
    """While training."""
    peak_memory_mib: float | None
    price: float | None
    currency: str


@dataclasses.dataclass(frozen=True)
class RoundReport:
    """Everything that is told of a finished round."""

    round: Round
    held_out: int
    """Pairs that the last evaluation looked at."""
    loss: Before | None
    accuracy: Accuracy | None
    margins: list[tuple[str, float]]
    """Quantiles of the reward's margin over held-out pairs, as (percent, value)."""
    margin_mean: Before | None
    manners: list[AnswerStyle]
    samples: list[dict[str, Completion]]
    raters: Raters
    cost: Cost
    versions: dict[str, str]


def report_of(round_: Round, *, with_samples: bool = True) -> RoundReport:
    """The report of a round, as far as it got."""
    curves = ends_of(round_)
    figures = round_.result.get("held_out") or {}
    held_out = int(figures.get("pairs") or round_.snapshot.counts.get("held_out") or 0)
    policy = round_.policy
    return RoundReport(
        round=round_,
        held_out=held_out,
        loss=curves.get("held_out/loss"),
        accuracy=_accuracy(curves, figures, held_out),
        margins=[
            (name, float(value))
            for name in SHOWN_QUANTILES
            if (value := (figures.get("margin_quantiles") or {}).get(name)) is not None
        ],
        margin_mean=curves.get("held_out/reward_margin"),
        manners=styles(round_.start, policy) if policy else [],
        samples=answers(round_.start, policy) if policy and with_samples else [],
        raters=_raters(round_),
        cost=_cost(round_),
        versions={str(k): str(v) for k, v in (round_.result.get("versions") or {}).items()},
    )


def ends_of(round_: Round) -> dict[str, Before]:
    """First and last value of every held-out metric."""
    values_by_name: dict[str, list[float]] = defaultdict(list)
    rows = round_.metrics.filter(name__startswith="held_out/").order_by("step")
    for name, value in rows.values_list("name", "value"):
        values_by_name[name].append(value)
    return {name: Before(values[0], values[-1]) for name, values in values_by_name.items()}


def _accuracy(
    curves: Mapping[str, Before], figures: Mapping[str, Any], pairs: int
) -> Accuracy | None:
    """From the engine's counts; of a round from before it counted, from its last evaluation."""
    rewards = curves.get("held_out/reward_accuracy")
    if not pairs or (rewards is None and "rewarded" not in figures):
        return None
    rewarded = figures.get("rewarded")
    if rewarded is None and rewards is not None:
        rewarded = rewards.last * pairs
    ranking = curves.get("held_out/ranking_accuracy")
    return Accuracy(
        rewarded=_share(rewarded, pairs) or WinRate(0, 0),
        ranked=_share(figures.get("ranked"), pairs),
        ranked_at_start=_share(ranking.first * pairs if ranking else None, pairs),
        ranked_by_reference=_share(figures.get("reference_ranked"), pairs),
    )


def _share(right: float | None, pairs: int) -> WinRate | None:
    """``right`` of ``pairs``; a tie is half, so an odd number of them is rounded."""
    if right is None:
        return None
    wins = min(pairs, max(0, round(right)))
    return WinRate(wins, pairs - wins)


def _raters(round_: Round) -> Raters:
    comparisons = round_.snapshot.pairs.filter(withdrawn_at=None).values("comparison")
    verdicts = Judgement.objects.counted().filter(comparison__in=comparisons)
    totals = verdicts.aggregate(raters=Count("rater", distinct=True), judgements=Count("pk"))
    votes: dict[int, list[int]] = defaultdict(list)
    rows = verdicts.values_list("comparison", "outcome").annotate(count=Count("pk"))
    for comparison, _outcome, count in rows:
        votes[comparison].append(count)
    return Raters(totals["raters"], totals["judgements"], agreement(votes.values()))


def agreement(votes: Iterable[list[int]]) -> WinRate:
    """``votes``: for each comparison, how often each outcome was given."""
    same = different = 0
    for counts in votes:
        total = sum(counts)
        alike = sum(count * (count - 1) // 2 for count in counts)
        same += alike
        different += total * (total - 1) // 2 - alike
    return WinRate(same, different)


def _cost(round_: Round) -> Cost:
    wanted = [
        f"{split}/{name}"
        for split in ("train", "held_out")
        for name in ("seconds", "tokens", "examples")
    ]
    rows = Metric.objects.filter(round=round_, name__in=wanted).values_list("name")
    sums: dict[str, float] = dict(rows.annotate(total=Sum("value")))
    result = round_.result
    processes = int(result.get("processes") or 1)
    computing = sums.get("train/seconds")
    device_seconds = None
    if computing is not None:
        computing += sums.get("held_out/seconds", 0.0)
        device_seconds = processes * (computing + float(result.get("reference_seconds") or 0.0))
    wall = None
    if round_.started_at and round_.finished_at:
        wall = (round_.finished_at - round_.started_at).total_seconds()
    tokens = sums.get("train/tokens")
    price = None
    if settings.PRICE_PER_HOUR and wall is not None:
        price = processes * wall / 3600 * settings.PRICE_PER_HOUR
    return Cost(
        wall_seconds=wall,
        device_seconds=device_seconds,
        device=str(result.get("device") or ""),
        processes=processes,
        pairs=_whole(sums.get("train/examples")),
        tokens=_whole(None if tokens is None else tokens + sums.get("held_out/tokens", 0.0)),
        tokens_per_second=tokens / sums["train/seconds"]
        if tokens and sums.get("train/seconds")
        else None,
        peak_memory_mib=result.get("peak_memory_mib"),
        price=price,
        currency=settings.PRICE_CURRENCY,
    )


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
