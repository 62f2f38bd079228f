"""What the page says beside the card: how many today, and why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime

from django.db.models import Exists, Min, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Comparison, Judgement, Project, User
from annotate.onboarding.steps import hindrance
from annotate.queue import sql
from annotate.site_time import midnight


@dataclasses.dataclass(frozen=True)
class EmptyQueue:
    """Why there is no card: a short name, a sentence, and seconds until the next try."""

    reason: str
    words: str
    again_in: int | None = 30


Explainer = Callable[[Project], EmptyQueue | None]
explainers: list[Explainer] = []
"""Other parts (sampling, rounds) add their reasons for an empty queue; the first one counts."""


def pause_of(*, project: Project, rater: User) -> EmptyQueue | None:
    """Why nothing is served to this rater although there may be work; None where it is."""
    if project.is_paused:
        return EmptyQueue("paused", _("This project is paused. Your judgements are kept."), 60)
    if (why := hindrance(project=project, rater=rater)) is not None:
        return EmptyQueue(*why, 60)
    return None


def why_empty(*, project: Project, rater: User, now: datetime | None = None) -> EmptyQueue:
    """Why ``serve_next`` had nothing for this rater."""
    now = now or timezone.now()
    pause = pause_of(project=project, rater=rater)
    if pause is not None:
        return pause
    met = Judgement.objects.filter(
        comparison=OuterRef("comparison"), rater=rater, retracted_at=None
    )
    held = Judgement.objects.filter(
        ~Exists(met),
        project=project,
        comparison__state=Comparison.State.OPEN,
        outcome=None,
        released_at=None,
        retracted_at=None,
    )
    lease = held.exclude(comparison__purpose=Comparison.Purpose.GOLD).aggregate(
        first=Min("expires_at")
    )["first"]
    if lease is not None:
        wait = max(5, int((lease - now).total_seconds()) + 1)
        sentence = ngettext(
            "Other raters have the last open comparisons before them. What they leave comes "
            "back within %(count)d minute.",
            "Other raters have the last open comparisons before them. What they leave comes "
            "back within %(count)d minutes.",
            max(1, round(wait / 60)),
        ) % {"count": max(1, round(wait / 60))}
        return EmptyQueue("with_others", sentence, min(wait, 60))
    for explain in explainers:
        explanation = explain(project)
        if explanation is not None:
            return explanation
    if not Comparison.objects.filter(project=project).exists():
        return EmptyQueue("nothing_yet", _("No comparisons have been prepared yet."), 60)
    return EmptyQueue("caught_up", _("You have judged everything there is. Thank you."), 60)


def decided_today(*, project: Project, rater: User, now: datetime | None = None) -> int:
    """How many verdicts (skips apart) the rater gave since midnight, in the site's time zone."""
    return sql.decided_since(rater.pk, project.pk, midnight(now))
