"""The rater's side of the queue: the next card, the verdict, the undo.

Every step is safe against two tabs, two clicks and two processes: slots and leases are
taken by filtered updates whose row count is looked at, and the database's constraints
refuse the rest.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Min, OuterRef
from django.utils import timezone

from annotate.gold import gold_due
from annotate.models import Comparison, Judgement, Project, User
from annotate.settling import reopen_comparison, settle_comparison
from annotate.sides import draw_swapped
from annotate.steps import hindrance

CANDIDATES = 20
"""How many comparisons are looked at in one query; the next twenty follow if all are taken."""

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
CHOICES: tuple[Choice, ...] = ("left", "right", "tie", "both_bad", "skip")
_draw = random.SystemRandom()


class UnknownJudgement(LookupError):
    """No card with that code was served to that rater."""


class CannotUndo(Exception):
    """The last verdict stays, for a reason that can be shown to the rater."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a click.

    ``stored``: counted now; ``repeated``: the same click had been counted before;
    ``conflicting``: a different verdict is on record and stays; ``late``: the lease had
    expired and others have finished the comparison; ``undone``: the card was reopened elsewhere.
    """

    status: Literal["stored", "repeated", "conflicting", "late", "undone"]
    judgement: Judgement


@dataclasses.dataclass(frozen=True)
class Empty:
    """Why there is no card: a short name, a sentence, and seconds until it pays to ask again."""

    reason: str
    words: str
    again_in: int | None = 30


Explainer = Callable[[Project], Empty | None]
explainers: list[Explainer] = []
"""Other parts (sampling, rounds) add what they know of an empty queue; the first answer counts."""


# --- serving -----------------------------------------------------------------------------


def serve_next(*, project: Project, rater: User, now: datetime | None = None) -> Judgement | None:
    """The card that ``rater`` is to judge now, or None where there is none.

    A card that the rater holds comes back as it was, on the same sides. Otherwise a slot of
    the first open comparison that the rater has not met is taken.
    """
    now = now or timezone.now()
    if project.is_paused or hindrance(project=project, rater=rater):
        return None
    held = _held_card(project=project, rater=rater, now=now)
    if held is not None:
        return held
    release_expired(project=project, now=now)
    if (gold := gold_due(project=project, rater=rater)) is not None:
        judgement = _take(project=project, rater=rater, comparison_pk=gold, now=now)
        if judgement is not None:
            return judgement
    met = Judgement.objects.filter(comparison=OuterRef("pk"), rater=rater)
    queue = (
        Comparison.objects.filter(
            ~Exists(met),
            project=project,
            state=Comparison.State.OPEN,
            judgements_taken__lt=F("judgements_wanted"),
        )
        .exclude(purpose=Comparison.Purpose.GOLD)
        .order_by("-priority", "shuffle", "id")
        .values_list("pk", flat=True)
    )
    while candidates := list(queue[:CANDIDATES]):
        for pk in candidates:
            judgement = _take(project=project, rater=rater, comparison_pk=pk, now=now)
            if judgement is not None:
                return judgement
    return None


def _held_card(*, project: Project, rater: User, now: datetime) -> Judgement | None:
    held = Judgement.objects.filter(
        rater=rater,
        decided_at=None,
        retracted_at=None,
        comparison__project=project,
        comparison__state=Comparison.State.OPEN,
    ).order_by("-served_at", "-pk")
    for judgement in held:
        if _renew(judgement=judgement, project=project, now=now):
            return _card(judgement.pk)
    return None


def _renew(*, judgement: Judgement, project: Project, now: datetime) -> bool:
    """Lengthen the lease; where it had been released, take a slot again. False if none is left."""
    expires = now + timedelta(minutes=project.lease_minutes)
    with transaction.atomic():
        mine = Judgement.objects.filter(pk=judgement.pk, decided_at=None, retracted_at=None)
        if mine.filter(released_at=None).update(expires_at=expires):
            return True
        if not _take_slot(judgement.comparison_id):
            return False
        if mine.filter(released_at__isnull=False).update(released_at=None, expires_at=expires):
            return True
        _give_slot_back(judgement.comparison_id)
        return False


def _take(*, project: Project, rater: User, comparison_pk: int, now: datetime) -> Judgement | None:
    try:
        with transaction.atomic():
            if not _take_slot(comparison_pk):
                return None
            judgement = Judgement.objects.create(
                comparison_id=comparison_pk,
                rater=rater,
                swapped=_draw_side(project=project, rater=rater, comparison_pk=comparison_pk),
                served_at=now,
                expires_at=now + timedelta(minutes=project.lease_minutes),
            )
    except IntegrityError:  # another tab of the same rater was quicker
        return None
    return _card(judgement.pk)


def _card(pk: int) -> Judgement:
    return Judgement.objects.select_related(
        "comparison__prompt", "comparison__a", "comparison__b"
    ).get(pk=pk)


def _take_slot(comparison_pk: int) -> bool:
    return bool(
        Comparison.objects.filter(
            pk=comparison_pk,
            state=Comparison.State.OPEN,
            judgements_taken__lt=F("judgements_wanted"),
        ).update(judgements_taken=F("judgements_taken") + 1)
    )


def _give_slot_back(comparison_pk: int) -> None:
    Comparison.objects.filter(pk=comparison_pk, judgements_taken__gt=0).update(
        judgements_taken=F("judgements_taken") - 1
    )


def _draw_side(*, project: Project, rater: User, comparison_pk: int) -> bool:
    """Balanced within the comparison first, then within the rater's last hundred cards."""
    sides = Judgement.objects.filter(comparison_id=comparison_pk).values_list("swapped", flat=True)
    swapped, straight = _count_sides(sides)
    if swapped == straight:
        recent = (
            Judgement.objects.filter(rater=rater, comparison__project=project)
            .order_by("-pk")
            .values_list("swapped", flat=True)[:100]
        )
        swapped, straight = _count_sides(recent)
    return draw_swapped(swapped=swapped, straight=straight, random=_draw)


def _count_sides(sides: Iterable[bool]) -> tuple[int, int]:
    drawn = list(sides)
    return sum(drawn), len(drawn) - sum(drawn)


def release_expired(*, project: Project | None = None, now: datetime | None = None) -> int:
    """Give back the slots of cards that were left open too long. Returns how many."""
    now = now or timezone.now()
    expired = Judgement.objects.filter(
        outcome=None, released_at=None, retracted_at=None, expires_at__lt=now
    )
    if project is not None:
        expired = expired.filter(comparison__project=project)
    released = 0
    for pk, comparison_pk in expired.values_list("pk", "comparison_id"):
        with transaction.atomic():
            mine = Judgement.objects.filter(
                pk=pk, outcome=None, released_at=None, retracted_at=None, expires_at__lt=now
            )
            if mine.update(released_at=now):
                _give_slot_back(comparison_pk)
                released += 1
    return released


# --- deciding ----------------------------------------------------------------------------


@transaction.atomic
def record_verdict(
    *, code: UUID, rater: User, choice: Choice, now: datetime | None = None
) -> Verdict:
    """Store what ``rater`` clicked on the card ``code``, once.

    Raises UnknownJudgement where that rater was never served that card.
    """
    now = now or timezone.now()
    found = Judgement.objects.filter(code=code, rater=rater).first()
    if found is None:
        raise UnknownJudgement(code)
    # Everything about one comparison happens in turn: the last two votes must see each other.
    comparison = Comparison.objects.select_for_update().get(pk=found.comparison_id)
    judgement = _card(found.pk)
    outcome = outcome_of(choice, swapped=judgement.swapped)
    if judgement.retracted_at is not None:
        return Verdict("undone", judgement)
    if judgement.outcome is not None:
        return Verdict("repeated" if judgement.outcome == outcome else "conflicting", judgement)
    if judgement.released_at is not None and not _take_slot(comparison.pk):
        return Verdict("late", judgement)
    if comparison.state != Comparison.State.OPEN:
        return Verdict("late", judgement)
    judgement.outcome = outcome
    judgement.decided_at = now
    judgement.released_at = None
    judgement.save(update_fields=["outcome", "decided_at", "released_at"])
    if outcome == Judgement.Outcome.SKIP:
        _give_slot_back(comparison.pk)
    else:
        settle_comparison(comparison=comparison)
    return Verdict("stored", judgement)


def outcome_of(choice: Choice, *, swapped: bool) -> str:
    """The screen's left and right in the comparison's own terms."""
    if choice == "left":
        return "b" if swapped else "a"
    if choice == "right":
        return "a" if swapped else "b"
    return choice


@transaction.atomic
def undo_last(*, project: Project, rater: User, now: datetime | None = None) -> Judgement:
    """Reopen the rater's last verdict: the old record is kept as retracted, a new card served.

    Raises CannotUndo, in words for the rater.
    """
    now = now or timezone.now()
    last = (
        Judgement.objects.filter(
            rater=rater, comparison__project=project, outcome__isnull=False, retracted_at=None
        )
        .order_by("-decided_at", "-pk")
        .first()
    )
    if last is None:
        raise CannotUndo("There is nothing to undo yet.")
    comparison = Comparison.objects.select_for_update().get(pk=last.comparison_id)
    if not reopen_comparison(comparison=comparison):
        raise CannotUndo("A training round has already used your last verdict, so it stays.")
    if last.outcome == Judgement.Outcome.SKIP and not _take_slot(comparison.pk):
        raise CannotUndo("Others have judged that comparison since you skipped it.")
    if not Judgement.objects.filter(pk=last.pk, retracted_at=None).update(retracted_at=now):
        raise CannotUndo("That verdict was undone a moment ago.")
    again = Judgement.objects.create(
        comparison=comparison,
        rater=rater,
        swapped=last.swapped,
        served_at=now,
        expires_at=now + timedelta(minutes=project.lease_minutes),
    )
    return _card(again.pk)


# --- what the page says beside the card --------------------------------------------------


def decided_today(*, project: Project, rater: User, now: datetime | None = None) -> int:
    """How many verdicts (skips apart) the rater gave since midnight, in the site's time zone."""
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    return (
        Judgement.objects.filter(
            rater=rater,
            comparison__project=project,
            decided_at__gte=midnight,
            retracted_at=None,
        )
        .exclude(outcome=Judgement.Outcome.SKIP)
        .count()
    )


def can_undo(*, project: Project, rater: User) -> bool:
    """Whether the rater has a verdict that may still be taken back."""
    last = (
        Judgement.objects.filter(
            rater=rater, comparison__project=project, outcome__isnull=False, retracted_at=None
        )
        .select_related("comparison")
        .order_by("-decided_at", "-pk")
        .first()
    )
    if last is None or last.comparison.state == Comparison.State.VOID:
        return False
    return not last.comparison.pairs.filter(frozen_at__isnull=False).exists()


def why_empty(*, project: Project, rater: User, now: datetime | None = None) -> Empty:
    """Why ``serve_next`` had nothing for this rater."""
    now = now or timezone.now()
    if project.is_paused:
        return Empty("paused", "This project is paused. Your judgements are kept.", 60)
    if (why := hindrance(project=project, rater=rater)) is not None:
        return Empty(*why, 60)
    open_ones = Comparison.objects.filter(project=project, state=Comparison.State.OPEN).exclude(
        purpose=Comparison.Purpose.GOLD
    )
    met = Judgement.objects.filter(comparison=OuterRef("pk"), rater=rater, retracted_at=None)
    lease = Judgement.objects.filter(
        comparison__in=open_ones.filter(~Exists(met)),
        outcome=None,
        released_at=None,
        retracted_at=None,
    ).aggregate(first=Min("expires_at"))["first"]
    if lease is not None:
        wait = max(5, int((lease - now).total_seconds()) + 1)
        minutes = max(1, round(wait / 60))
        return Empty(
            "with_others",
            "Other raters have the last open comparisons before them. What they leave comes "
            f"back within {minutes} minute{'s' if minutes > 1 else ''}.",
            min(wait, 60),
        )
    for explain in explainers:
        told = explain(project)
        if told is not None:
            return told
    if not Comparison.objects.filter(project=project).exists():
        return Empty("nothing_yet", "No comparisons have been prepared yet.", 60)
    return Empty("caught_up", "You have judged everything there is. Thank you.", 60)
