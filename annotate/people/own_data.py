"""What is stored about one person in one project, for that person to see."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Min, Q, QuerySet

from annotate.models import (
    Arrival,
    Judgement,
    Membership,
    Ordering,
    PracticeAnswer,
    PreferencePair,
    Project,
    User,
)
from annotate.onboarding.consent import consents_of


def summary(*, project: Project, user: User) -> dict[str, Any]:
    """Counts and dates, for a page."""
    judged = Judgement.objects.filter(project=project, rater=user, outcome__isnull=False)
    counts = judged.aggregate(
        judgements=Count("pk"),
        taken_back=Count("pk", filter=Q(retracted_at__isnull=False)),
        with_words=Count("pk", filter=~Q(reason="") | ~Q(edited_text="")),
        first_at=Min("decided_at"),
    )
    frozen = PreferencePair.objects.filter(
        comparison__judgements__in=judged.filter(retracted_at=None), frozen_at__isnull=False
    )
    return {
        **counts,
        "frozen": frozen.values("comparison").distinct().count(),
        "orders": _orders(project, user).filter(places__isnull=False).count(),
        "practice": PracticeAnswer.objects.filter(item__project=project, user=user).count(),
        "consents": list(consents_of(project=project, user=user)),
        "arrivals": list(
            Arrival.objects.filter(invitation__project=project, user=user).order_by("arrived_at")
        ),
    }


def _orders(project: Project, user: User) -> QuerySet[Ordering]:
    return Ordering.objects.filter(line_up__project=project, rater=user)


def everything(*, project: Project, user: User, membership: Membership) -> dict[str, Any]:
    """Every row about the person, for a download. Names no policy and no other person."""
    judgements = (
        Judgement.objects.filter(project=project, rater=user)
        .order_by("pk")
        .values(
            "code",
            "swapped",
            "outcome",
            "strength",
            "criteria",
            "reason",
            "reason_tags",
            "flags",
            "edited_text",
            "served_at",
            "decided_at",
            "retracted_at",
        )
    )
    practice = (
        PracticeAnswer.objects.filter(item__project=project, user=user)
        .order_by("pk")
        .values("attempt", "outcome", "is_right", "answered_at")
    )
    return {
        "account": {
            "username": user.username,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "email": user.email,
            "date_joined": user.date_joined,
            "last_login": user.last_login,
        },
        "project": project.name,
        "membership": {
            "role": membership.role,
            "joined_at": membership.joined_at,
            "paused_at": membership.paused_at,
            "paused_reason": membership.paused_reason,
            "practised_at": membership.practised_at,
        },
        "arrivals": list(
            Arrival.objects.filter(invitation__project=project, user=user).values_list(
                "arrived_at", flat=True
            )
        ),
        "consents": [
            {
                "version": consent.text.number,
                "given_at": consent.given_at,
                "withdrawn_at": consent.withdrawn_at,
                "text": consent.text.text,
            }
            for consent in consents_of(project=project, user=user)
        ],
        "judgements": list(judgements),
        "line_ups": list(
            _orders(project, user)
            .order_by("pk")
            .values("code", "places", "is_skipped", "served_at", "decided_at")
        ),
        "practice": list(practice),
    }
