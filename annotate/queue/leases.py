"""A comparison's slots: taken with a card, given back when its lease runs out."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from annotate.models import Comparison, Judgement, Project
from annotate.queue import sql
from annotate.queue.settle import settle_comparison


def lease_of(project: Project) -> timedelta:
    """How long a card is kept for a rater who does not stir."""
    return timedelta(minutes=project.lease_minutes)


def lock_comparison(pk: int) -> Comparison:
    """The comparison's row, held until the transaction ends.

    Everything about one comparison happens in turn: the last two votes must see each other.
    Whoever needs a judgement's row as well takes it after this one.
    """
    return Comparison.objects.select_for_update().get(pk=pk)


def take_slot(comparison_pk: int) -> bool:
    """One slot of an open comparison; False where none is left."""
    return sql.take_slot(comparison_pk)


def give_slot_back(comparison_pk: int) -> None:
    Comparison.objects.filter(pk=comparison_pk, judgements_taken__gt=0).update(
        judgements_taken=F("judgements_taken") - 1
    )


def release_expired(*, project: Project | None = None, now: datetime | None = None) -> int:
    """Give back the slots of cards that were left open too long. Returns how many cards.

    Where a card had been reopened, its rater's former verdict counts again.
    """
    now = now or timezone.now()
    expired = Judgement.objects.filter(
        outcome=None, released_at=None, retracted_at=None, expires_at__lt=now
    )
    if project is not None:
        expired = expired.filter(project=project)
    return sum(
        _release(judgement_pk=pk, comparison_pk=comparison, former_pk=former, now=now)
        for pk, comparison, former in expired.values_list("pk", "comparison_id", "replaces_id")
    )


@transaction.atomic
def _release(
    *, judgement_pk: int, comparison_pk: int, former_pk: int | None, now: datetime
) -> bool:
    comparison = lock_comparison(comparison_pk)
    mine = Judgement.objects.filter(
        pk=judgement_pk, outcome=None, released_at=None, retracted_at=None, expires_at__lt=now
    )
    if former_pk is None:
        if not mine.update(released_at=now):
            return False
        give_slot_back(comparison_pk)
        return True
    if not mine.update(released_at=now, retracted_at=now):
        return False
    former = Judgement.objects.get(pk=former_pk)
    Judgement.objects.filter(pk=former_pk).update(retracted_at=None)
    if former.outcome == Judgement.Outcome.SKIP:
        give_slot_back(comparison_pk)
    else:
        settle_comparison(comparison=comparison)
    return True
