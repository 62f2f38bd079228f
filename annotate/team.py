"""What a manager sees of a project's people: one row each, with how much and how well."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from django.db.models import Count, Max, Q
from django.utils import timezone

from annotate import gold, pace
from annotate.models import Membership, Project


@dataclasses.dataclass(frozen=True)
class Person:
    """A member and their work; ``gold`` is (right, of)."""

    membership: Membership
    today: int
    total: int
    last_at: datetime | None
    seconds: float | None
    gold: tuple[int, int]
    agreement: pace.Agreement

    @property
    def gold_percent(self) -> int | None:
        right, of = self.gold
        return round(100 * right / of) if of else None


def team(project: Project, *, now: datetime | None = None) -> list[Person]:
    """All members: managers first, then who is busiest today. For managers' eyes alone."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    counts = {
        pk: (today, total, last)
        for pk, today, total, last in pace.verdicts_of(project)
        .values_list("rater")
        .annotate(
            today=Count("pk", filter=Q(decided_at__gte=midnight)),
            total=Count("pk"),
            last_at=Max("decided_at"),
        )
    }
    accuracy = gold.gold_accuracy(project)
    agreement = pace.agreements(project)
    people = []
    for membership in project.memberships.select_related("user", "guidelines_read"):
        user = membership.user
        today, total, last = counts.get(user.pk, (0, 0, None))
        people.append(
            Person(
                membership=membership,
                today=today,
                total=total,
                last_at=last,
                seconds=pace.seconds_of(project=project, rater=user) if total else None,
                gold=accuracy.get(user.pk, (0, 0)),
                agreement=agreement.get(user.pk, pace.Agreement(0, 0)),
            )
        )
    return sorted(
        people,
        key=lambda one: (
            one.membership.role != Membership.Role.MANAGER,
            -one.today,
            -one.total,
            one.membership.user.username,
        ),
    )
