"""Slots of comparisons and line-ups: taken with a card or an ordering, given back with a lease."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from annotate.models import Comparison, Judgement, LineUp, Project
from annotate.queue import sql
from annotate.queue.settle import settle_comparison


def lease_of(project: Project) -> timedelta:
    """How long a card is kept for an inactive rater."""
    return timedelta(minutes=project.lease_minutes)


def lock_comparison(pk: int) -> Comparison:
    """The comparison's row, held until the transaction ends.

    Everything about one comparison happens in turn: the last two votes must see each other.
    A caller that needs a judgement's row as well locks it after this one.
    """
    return Comparison.objects.select_for_update().get(pk=pk)


@dataclasses.dataclass(frozen=True)
class Slots:
    """How many raters may have a row of ``model`` at once: columns of those taken and wanted.

    Used for cards and for line-ups. ``taking`` is another way to take a slot, for cards: a
    statement written by hand, since every vote passes through it.
    """

    model: type[Comparison] | type[LineUp]
    taken: str
    wanted: str
    taking: Callable[[int], bool] | None = None

    def take(self, pk: int) -> bool:
        """One slot of an open row; False where none is left."""
        if self.taking is not None:
            return self.taking(pk)
        free = {"state": self.model.State.OPEN, f"{self.taken}__lt": F(self.wanted)}
        rows = self.model._default_manager.filter(pk=pk, **free)
        return bool(rows.update(**{self.taken: F(self.taken) + 1}))

    def give_back(self, pk: int) -> None:
        """A slot is free again."""
        rows = self.model._default_manager.filter(pk=pk, **{f"{self.taken}__gt": 0})
        rows.update(**{self.taken: F(self.taken) - 1})

    @transaction.atomic
    def renew(self, pk: int, held: QuerySet[Any], *, expires: datetime) -> bool:
        """Keep ``held``, the card or the ordering, until ``expires``. Where its slot was
        given back, take one again; False where none is left."""
        if held.filter(released_at=None).update(expires_at=expires):
            return True
        if not self.take(pk):
            return False
        if held.filter(released_at__isnull=False).update(released_at=None, expires_at=expires):
            return True
        self.give_back(pk)
        return False


CARDS = Slots(Comparison, "judgements_taken", "judgements_wanted", sql.take_slot)
LINE_UPS = Slots(LineUp, "orders_taken", "orders_wanted")


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
    expired = Judgement.objects.filter(
        pk=judgement_pk, outcome=None, released_at=None, retracted_at=None, expires_at__lt=now
    )
    if former_pk is None:
        if not expired.update(released_at=now):
            return False
        CARDS.give_back(comparison_pk)
        return True
    if not expired.update(released_at=now, retracted_at=now):
        return False
    former = Judgement.objects.get(pk=former_pk)
    Judgement.objects.filter(pk=former_pk).update(retracted_at=None)
    if former.outcome == Judgement.Outcome.SKIP:
        CARDS.give_back(comparison_pk)
    else:
        settle_comparison(comparison=comparison)
    return True
