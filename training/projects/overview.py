"""What a project's home tells a manager, gathered in a handful of queries. Changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Count, F, Max, Q, Sum
from django.utils import timezone

from annotate.content.export import pairs_of
from annotate.models import (
    Comparison,
    Completion,
    Judgement,
    Policy,
    Project,
)
from annotate.site_time import midnight
from training.models import Round, SamplingJob
from training.stats.win_rates import HeadToHeadCount, WinRate, win_rate_of


@dataclasses.dataclass(frozen=True)
class Counts:
    """The five stations of the loop: what is there, and what came since midnight."""

    prompts: int
    prompts_held_out: int
    prompts_today: int
    completions: int
    completions_today: int
    judgements: int
    judgements_today: int
    judgements_last_day: int
    open_slots: int
    open_comparisons: int
    pairs: int
    pairs_today: int
    pairs_last_day: int
    rounds: int

    @property
    def hours_of_queue(self) -> float | None:
        """How long the open queue lasts at the last day's pace; None without a pace."""
        if not self.judgements_last_day:
            return None
        return 24 * self.open_slots / self.judgements_last_day


@dataclasses.dataclass(frozen=True)
class LadderRow:
    """A policy on the ladder, with its share of wins against all others."""

    policy: Policy
    share: WinRate
    completions: int
    round_number: int | None


@dataclasses.dataclass(frozen=True)
class HeadToHead:
    """A round's policy against the one that it was trained from."""

    round: Round
    opponent: Policy
    held_out: WinRate
    everywhere: WinRate


@dataclasses.dataclass(frozen=True)
class RaterRow:
    """One rater's work."""

    name: str
    today: int
    total: int
    last_at: datetime


def counts(project: Project, *, now: datetime | None = None) -> Counts:
    """The stations' numbers."""
    now = now or timezone.now()
    today, yesterday = midnight(now), now - timedelta(days=1)
    prompts = project.prompts.aggregate(
        prompts=Count("pk"),
        prompts_held_out=Count("pk", filter=Q(is_held_out=True)),
        prompts_today=Count("pk", filter=Q(created_at__gte=today)),
    )
    completions = Completion.objects.filter(prompt__project=project).aggregate(
        completions=Count("pk"),
        completions_today=Count("pk", filter=Q(created_at__gte=today)),
    )
    judged = (
        Judgement.objects.counted()
        .filter(project=project)
        .aggregate(
            judgements=Count("pk"),
            judgements_today=Count("pk", filter=Q(decided_at__gte=today)),
            judgements_last_day=Count("pk", filter=Q(decided_at__gte=yesterday)),
        )
    )
    queue = (
        Comparison.objects.filter(project=project, state=Comparison.State.OPEN)
        .exclude(purpose=Comparison.Purpose.GOLD)
        .aggregate(
            open_comparisons=Count("pk"),
            open_slots=Sum(F("judgements_wanted") - F("judgements_taken"), default=0),
        )
    )
    pairs = (
        pairs_of(project)
        .filter(weight__gt=0)
        .aggregate(
            pairs=Count("pk"),
            pairs_today=Count("pk", filter=Q(created_at__gte=today)),
            pairs_last_day=Count("pk", filter=Q(created_at__gte=yesterday)),
        )
    )
    rounds = project.rounds.filter(state=Round.State.SUCCEEDED).count()
    return Counts(**prompts, **completions, **judged, **queue, **pairs, rounds=rounds)


def bouts(project: Project) -> list[HeadToHeadCount]:
    """Who met whom on which kind of prompt, and how it ended."""
    rows = (
        Judgement.objects.counted()
        .filter(project=project)
        .exclude(comparison__purpose=Comparison.Purpose.GOLD)  # everybody judges the same few
        .filter(comparison__picked="")  # chosen by a reward, these do not stand for the others
        .values_list(
            "comparison__a__policy",
            "comparison__b__policy",
            "comparison__prompt__is_held_out",
            "outcome",
        )
        .annotate(count=Count("pk"))
    )
    return [
        HeadToHeadCount(a, b, is_held_out, outcome or "", count)
        for a, b, is_held_out, outcome, count in rows
    ]


def ladder(project: Project, met: Sequence[HeadToHeadCount]) -> list[LadderRow]:
    """All policies: the champion first, then the pool, the retired last; newest first in each."""
    places = {
        Policy.State.CHAMPION: 0,
        Policy.State.CANDIDATE: 1,
        Policy.State.ACTIVE: 1,
        Policy.State.RETIRED: 2,
    }
    made_by = dict(project.rounds.filter(policy__isnull=False).values_list("policy_id", "number"))
    policies = project.policies.annotate(written=Count("completions")).order_by("-pk")
    rungs = [
        LadderRow(
            policy=policy,
            share=win_rate_of(policy.pk, met),
            completions=policy.written,
            round_number=made_by.get(policy.pk),
        )
        for policy in policies
    ]
    return sorted(rungs, key=lambda rung: places[Policy.State(rung.policy.state)])


def heads_to_heads(project: Project, met: Sequence[HeadToHeadCount]) -> list[HeadToHead]:
    """Every finished round against what it came from, oldest first."""
    finished = (
        project.rounds.filter(state=Round.State.SUCCEEDED)
        .select_related("policy", "start")
        .order_by("number")
    )
    return [result for round_ in finished if (result := _meeting(round_, met))]


def head_to_head(round_: Round) -> HeadToHead | None:
    """One round's policy against what it came from; None before there is a policy."""
    return _meeting(round_, bouts(round_.project)) if round_.policy_id else None


def _meeting(round_: Round, met: Sequence[HeadToHeadCount]) -> HeadToHead | None:
    if round_.policy_id is None:
        return None
    return HeadToHead(
        round=round_,
        opponent=round_.start,
        held_out=win_rate_of(round_.policy_id, met, against=round_.start_id, held_out=True),
        everywhere=win_rate_of(round_.policy_id, met, against=round_.start_id),
    )


def raters(project: Project, *, now: datetime | None = None) -> list[RaterRow]:
    """Everybody who judged, the busiest of today first."""
    rows = (
        Judgement.objects.counted()
        .filter(project=project)
        .values_list("rater__username")
        .annotate(
            today=Count("pk", filter=Q(decided_at__gte=midnight(now))),
            total=Count("pk"),
            last_at=Max("decided_at"),
        )
        .order_by("-today", "-total", "rater__username")
    )
    return [RaterRow(*row) for row in rows]


def under_way(project: Project) -> tuple[Round | None, SamplingJob | None]:
    """The round and the sampling job that have not finished, where there are such."""
    training = project.rounds.filter(state__in=Round.UNFINISHED).first()
    sampling = (
        SamplingJob.objects.filter(project=project, state__in=SamplingJob.UNFINISHED)
        .order_by("pk")
        .first()
    )
    return training, sampling
