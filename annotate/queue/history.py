"""A rater's last verdicts, and how one is opened again until a snapshot has frozen it."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.db.write_lock import write_lock
from annotate.models import Comparison, Judgement, PreferencePair, Project, User
from annotate.queue.leases import CARDS, lease_of
from annotate.queue.settle import reopen_comparison
from annotate.queue.sql import full_card
from annotate.queue.verdicts import choice_of

SHOWN = 50


class CannotUndo(Exception):
    """The verdict stays, for a reason that can be shown to the rater."""


@dataclasses.dataclass(frozen=True)
class Past:
    """One of the last verdicts, with the rater's ``choice`` as it was on the screen.

    ``kept_because``: why it cannot be changed; empty if it can.
    """

    judgement: Judgement
    choice: str
    kept_because: str


def undo_last(*, project: Project, rater: User, now: datetime | None = None) -> Judgement:
    """Reopen the rater's last verdict. Raises CannotUndo, in words for the rater."""
    last = _counted(project=project, rater=rater).order_by("-decided_at", "-pk").first()
    if last is None:
        raise CannotUndo(_("There is nothing to undo yet."))
    return reopen_verdict(rater=rater, code=last.code, now=now)


@write_lock()
def reopen_verdict(*, rater: User, code: UUID, now: datetime | None = None) -> Judgement:
    """Serve a decided card again: the old record is kept as retracted, a new one replaces it.

    Where the rater leaves it undecided until the lease runs out, the old verdict counts again
    (``leases.release_expired``). Raises CannotUndo, in words for the rater.
    """
    now = now or timezone.now()
    comparison = (
        Comparison.objects.select_for_update(of=("self",))
        .select_related("project")
        .filter(judgements__code=code, judgements__rater=rater)
        .first()
    )
    if comparison is None:
        raise CannotUndo(_("That is none of your verdicts."))
    former = Judgement.objects.get(code=code)
    if former.decided_at is None:
        raise CannotUndo(_("You have not judged that one yet."))
    take_back(judgement=former, comparison=comparison, now=now)
    reopened = Judgement.objects.create(
        project=comparison.project,
        comparison=comparison,
        rater=rater,
        swapped=former.swapped,
        replaces=former,
        served_at=now,
        expires_at=now + lease_of(comparison.project),
    )
    return full_card(reopened.pk)


@transaction.atomic
def take_back(*, judgement: Judgement, comparison: Comparison, now: datetime) -> None:
    """Retract a decided judgement; its slot stays with its rater. The caller holds the comparison.

    Raises CannotUndo, in words for the rater.
    """
    if judgement.is_late:
        raise CannotUndo(_("That verdict came too late to count, so there is nothing to change."))
    if judgement.outcome == Judgement.Outcome.SKIP:
        if not CARDS.take(comparison.pk):
            raise CannotUndo(_("Others have judged that comparison since you skipped it."))
    elif comparison.state == Comparison.State.VOID:
        raise CannotUndo(_("That comparison was withdrawn, so your verdict stays."))
    elif not reopen_comparison(comparison=comparison):
        raise CannotUndo(_("A training round has already used that verdict, so it stays."))
    if not Judgement.objects.filter(pk=judgement.pk, retracted_at=None).update(retracted_at=now):
        raise CannotUndo(_("That verdict was undone a moment ago."))


def can_undo(*, project: Project, rater: User) -> bool:
    """Whether the rater has a last verdict that may still be taken back."""
    last = (
        _counted(project=project, rater=rater)
        .annotate(frozen=_frozen())
        .order_by("-decided_at", "-pk")
        .values_list("frozen", "comparison__state")
        .first()
    )
    return last is not None and not last[0] and last[1] != Comparison.State.VOID


def last_verdicts(*, project: Project, rater: User) -> list[Past]:
    """The rater's last verdicts as they stand, the latest first; late ones among them."""
    own = Judgement.objects.filter(project=project, rater=rater, decided_at__isnull=False)
    own = own.exclude(comparison__purpose=Comparison.Purpose.LINE_UP)  # reopened as a whole
    shown = own.select_related("comparison__prompt").annotate(frozen=_frozen())
    latest = [
        *shown.filter(retracted_at=None).order_by("-decided_at", "-pk")[:SHOWN],
        *shown.filter(is_late=True).order_by("-decided_at")[:SHOWN],
    ]
    latest.sort(
        key=lambda verdict: (verdict.decided_at or verdict.served_at, verdict.pk), reverse=True
    )
    return [
        Past(
            verdict,
            choice_of(verdict.outcome or "", swapped=verdict.swapped),
            _why_kept(verdict),
        )
        for verdict in latest[:SHOWN]
    ]


def _why_kept(judgement: Judgement) -> str:
    comparison = judgement.comparison
    if judgement.is_late:
        return _("It came too late to count, but it is stored.")
    if judgement.outcome == Judgement.Outcome.SKIP:
        full = comparison.judgements_taken >= comparison.judgements_wanted
        is_open = comparison.state == Comparison.State.OPEN and not full
        return "" if is_open else _("Others have judged it since.")
    if comparison.state == Comparison.State.VOID:
        return _("The comparison was withdrawn.")
    if judgement.frozen:  # type: ignore[attr-defined]  # annotated by last_verdicts
        return _("A training round has used it, so it stays.")
    return ""


def _counted(*, project: Project, rater: User) -> QuerySet[Judgement]:
    """Verdicts on cards; an order is reopened as a whole (``annotate.queue.line_ups``)."""
    return Judgement.objects.filter(
        rater=rater, project=project, retracted_at=None, decided_at__isnull=False
    ).exclude(comparison__purpose=Comparison.Purpose.LINE_UP)


def _frozen() -> Exists:
    pairs = PreferencePair.objects.filter(comparison=OuterRef("comparison"))
    return Exists(pairs.filter(frozen_at__isnull=False))
