"""A rater's work in numbers: how much, how fast, how steadily, how often others agree."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

from django.db.models import Count, F, Q
from django.db.models.functions import TruncDate
from django.utils import timezone

from annotate.models import Comparison, Judgement, Project, User

RECENT = 200
"""The median is over this many of the last cards."""

LONGEST = 30 * 60
"""Seconds; longer than this nobody reads: the page was left open."""

FEWEST = 10
"""An agreement on fewer cards than this says nothing."""


@dataclasses.dataclass(frozen=True)
class RaterAgreement:
    """How often others who judged the same comparison chose the same."""

    same: int
    met: int

    @property
    def percent(self) -> int | None:
        return round(100 * self.same / self.met) if self.met >= FEWEST else None


@dataclasses.dataclass(frozen=True)
class RaterWork:
    """What a rater has done. ``week`` is the last seven days, today among them."""

    today: int
    week: int
    total: int
    seconds: float | None
    streak: int
    days: list[tuple[date, int]]

    @property
    def an_hour(self) -> int | None:
        """Cards an hour at this pace."""
        return round(3600 / self.seconds) if self.seconds else None


# --- rules that need no database ---


def seconds_a_card(times: Sequence[tuple[datetime, datetime]]) -> float | None:
    """The median time for a card, from (served, decided) in the order of deciding.

    A card is fetched while the one before is read, so its time begins when that was decided.
    """
    durations = []
    before: datetime | None = None
    for served, decided in times:
        began = max(served, before) if before else served
        seconds = (decided - began).total_seconds()
        if 0 <= seconds <= LONGEST:
            durations.append(seconds)
        before = decided
    return statistics.median(durations) if durations else None


def streak(days: Iterable[date], today: date) -> int:
    """Days in a row with work, up to today; a today without any has not broken it yet."""
    worked = set(days)
    day = today if today in worked else today - timedelta(days=1)
    length = 0
    while day in worked:
        length += 1
        day -= timedelta(days=1)
    return length


# --- queries ---


def work_of(*, project: Project, rater: User, now: datetime | None = None) -> RaterWork:
    """One rater's own figures."""
    today = timezone.localdate(now)
    judgements = Judgement.objects.counted().filter(project=project).filter(rater=rater)
    by_day = judgements.annotate(day=TruncDate("decided_at")).values_list("day")
    counts = dict(by_day.annotate(count=Count("pk")).order_by("day"))
    week = [today - timedelta(days=days_ago) for days_ago in range(6, -1, -1)]
    days = [(day, counts.get(day, 0)) for day in week]
    return RaterWork(
        today=counts.get(today, 0),
        week=sum(count for _, count in days),
        total=sum(counts.values()),
        seconds=seconds_of(project=project, rater=rater),
        streak=streak(counts, today),
        days=days,
    )


def seconds_of(*, project: Project, rater: User) -> float | None:
    """The median seconds of the last cards of one rater."""
    recent = (
        Judgement.objects.counted()
        .filter(project=project)
        .filter(rater=rater)
        .exclude(comparison__purpose=Comparison.Purpose.LINE_UP)  # many at one moment
        .order_by("-decided_at")
        .values_list("served_at", "decided_at")[:RECENT]
    )
    return seconds_a_card([(served, decided) for served, decided in recent if decided][::-1])


def agreements(project: Project, *, rater: User | None = None) -> dict[int, RaterAgreement]:
    """For every rater (by pk), or for one, the agreement with all others' verdicts."""
    others = (
        ~Q(comparison__judgements__rater=F("rater"))
        & Q(comparison__judgements__outcome__isnull=False)
        & Q(comparison__judgements__retracted_at=None)
        & ~Q(comparison__judgements__outcome=Judgement.Outcome.SKIP)
    )
    judgements = Judgement.objects.counted().filter(project=project)
    if rater is not None:
        judgements = judgements.filter(rater=rater)
    rows = (
        judgements.values_list("rater")
        .annotate(
            same=Count("pk", filter=others & Q(comparison__judgements__outcome=F("outcome"))),
            met=Count("pk", filter=others),
        )
        .order_by("rater")
    )
    return {pk: RaterAgreement(same, met) for pk, same, met in rows}
