"""How well raters do now: shares over the newest verdicts, for rules that use them."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from datetime import datetime, timedelta
from itertools import combinations

from django.db.models import QuerySet
from django.utils import timezone

from annotate.models import Comparison, GoldItem, Judgement, Project

NEWEST = 200
"""This many of the newest verdicts are looked at."""

DAYS = 30
"""None older than this."""

FEWEST = 20
"""A share of fewer than this says nothing."""


@dataclasses.dataclass(frozen=True)
class Recent:
    """A share: ``right`` of ``of``."""

    right: int
    of: int

    @property
    def is_known(self) -> bool:
        return self.of >= FEWEST

    @property
    def percent(self) -> float:
        """Meaningful only where it ``is_known``."""
        return 100 * self.right / max(1, self.of)


def recent_gold(project: Project, *, now: datetime | None = None) -> Recent:
    """How many of the newest verdicts on gold items were right."""
    expected = dict(GoldItem.objects.filter(project=project).values_list("comparison", "expected"))
    rows = list(
        _verdicts(project, now)
        .filter(comparison__purpose=Comparison.Purpose.GOLD)
        .order_by("-decided_at", "-pk")
        .values_list("comparison", "outcome")[:NEWEST]
    )
    return Recent(sum(outcome in expected.get(pk, ()) for pk, outcome in rows), len(rows))


def recent_agreement(project: Project, *, now: datetime | None = None) -> Recent:
    """How many of the newest meetings of two raters over one comparison ended in one verdict."""
    judged = _verdicts(project, now).exclude(comparison__purpose=Comparison.Purpose.GOLD)
    newest = judged.order_by("-decided_at", "-pk").values_list("comparison", flat=True)[:NEWEST]
    outcomes: dict[int, list[str]] = defaultdict(list)
    for pk, outcome in judged.filter(comparison__in=set(newest)).values_list(
        "comparison", "outcome"
    ):
        outcomes[pk].append(outcome or "")
    agreed = [
        first == second
        for verdicts in outcomes.values()
        for first, second in combinations(verdicts, 2)
    ]
    return Recent(sum(agreed), len(agreed))


def _verdicts(project: Project, now: datetime | None) -> QuerySet[Judgement]:
    since = (now or timezone.now()) - timedelta(days=DAYS)
    return Judgement.objects.counted().filter(project=project, decided_at__gte=since)
