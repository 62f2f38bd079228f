"""What a manager sees of a project's people: one row each, with how much and how well."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from django.db.models import Count, Max, Q

from annotate import site_time
from annotate.models import Judgement, Membership, Project
from annotate.quality import gold, rater_stats


@dataclasses.dataclass(frozen=True)
class TeamMember:
    """A member and their work; ``gold`` is (right, of)."""

    membership: Membership
    today: int
    total: int
    last_at: datetime | None
    seconds: float | None
    gold: tuple[int, int]
    agreement: rater_stats.RaterAgreement

    @property
    def gold_percent(self) -> int | None:
        right, of = self.gold
        return round(100 * right / of) if of else None


def team(project: Project, *, now: datetime | None = None) -> list[TeamMember]:
    """All members: managers first, then by how much they did today. For managers only."""
    today_began = site_time.midnight(now)
    counts = {
        pk: (today, total, last)
        for pk, today, total, last in Judgement.objects.counted()
        .filter(project=project)
        .values_list("rater")
        .annotate(
            today=Count("pk", filter=Q(decided_at__gte=today_began)),
            total=Count("pk"),
            last_at=Max("decided_at"),
        )
    }
    accuracy = gold.gold_accuracy(project)
    agreement = rater_stats.agreements(project)
    people = []
    for membership in project.memberships.select_related("user", "guidelines_read"):
        user = membership.user
        today, total, last = counts.get(user.pk, (0, 0, None))
        people.append(
            TeamMember(
                membership=membership,
                today=today,
                total=total,
                last_at=last,
                seconds=rater_stats.seconds_of(project=project, rater=user) if total else None,
                gold=accuracy.get(user.pk, (0, 0)),
                agreement=agreement.get(user.pk, rater_stats.RaterAgreement(0, 0)),
            )
        )
    return sorted(
        people,
        key=lambda member: (
            member.membership.role != Membership.Role.MANAGER,
            -member.today,
            -member.total,
            member.membership.user.username,
        ),
    )
