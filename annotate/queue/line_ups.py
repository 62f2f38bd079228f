"""Line-ups: who gets which, and what an order of N answers says of all its pairs.

An order is stored as if the rater had judged each pair: a comparison of purpose
"line_up", a judgement, and where the votes suffice a preference pair. Slots and leases work as
those of comparisons do: filtered updates whose row count is looked at.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import combinations
from typing import Literal
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.db.write_lock import write_lock
from annotate.models import (
    Comparison,
    Completion,
    Judgement,
    LineUp,
    LineUpPlace,
    Ordering,
    Project,
    User,
)
from annotate.queue.empty_queue import pause_of
from annotate.queue.history import CannotUndo
from annotate.queue.leases import LINE_UPS, lease_of, lock_comparison
from annotate.queue.settle import reopen_comparison, settle_comparison
from annotate.queue.sql import lock_rater

Outcome = Literal["a", "b", "tie"]
_draw = random.SystemRandom()


class UnknownOrdering(LookupError):
    """No line-up with that code was served to that rater."""


class OrderRefused(ValueError):
    """The places do not name every answer once, with words for the rater."""


# --- rules that need no database ---


def check_places(places: Sequence[str], count: int) -> list[int]:
    """The places of ``count`` answers as numbers from 1, gaps closed: 1, 3, 3 become 1, 2, 2.

    Raises OrderRefused.
    """
    if len(places) != count or not all(place.isdecimal() for place in places):
        raise OrderRefused(_("Give every answer a place."))
    numbers = [int(place) for place in places]
    if not all(1 <= number <= count for number in numbers):
        raise OrderRefused(_("Places go from 1 to %(count)s.") % {"count": count})
    rank = {number: place for place, number in enumerate(sorted(set(numbers)), start=1)}
    return [rank[number] for number in numbers]


def pairs_of(shown: Sequence[int], places: Sequence[int]) -> list[tuple[int, int, Outcome, bool]]:
    """What an order says of each pair: (a, b, outcome, swapped), a being the smaller key.

    ``swapped``: b was shown before a.
    """
    pairs: list[tuple[int, int, Outcome, bool]] = []
    ranked = list(zip(shown, places, strict=True))
    for (first, place), (second, other) in combinations(ranked, 2):
        swapped = first > second
        a_place, b_place = (other, place) if swapped else (place, other)
        outcome: Outcome = "tie" if a_place == b_place else "a" if a_place < b_place else "b"
        pairs.append((min(first, second), max(first, second), outcome, swapped))
    return pairs


# --- making ---


def make_line_up(
    *, project: Project, prompt_id: int, completions: Sequence[int], priority: int
) -> LineUp:
    """Put completions of one prompt, FEWEST to MOST of them, into the queue."""
    line_up = LineUp.objects.create(
        project=project,
        prompt_id=prompt_id,
        priority=priority,
        shuffle=_draw.randrange(2**31),
        orders_wanted=project.judgements_wanted,
    )
    LineUpPlace.objects.bulk_create(
        LineUpPlace(line_up=line_up, completion_id=pk) for pk in completions
    )
    return line_up


# --- serving ---


def serve_line_up(*, project: Project, rater: User, now: datetime | None = None) -> Ordering | None:
    """The line-up that ``rater`` is to order now: the one held, or the first that is free."""
    now = now or timezone.now()
    if not project.line_up_size or pause_of(project=project, rater=rater) is not None:
        return None
    release_expired_orderings(now=now)
    with write_lock():
        lock_rater(rater.pk)  # another window of theirs waits, and then finds what this one took
        held = Ordering.objects.filter(
            line_up__project=project, line_up__state=LineUp.State.OPEN, rater=rater, decided_at=None
        ).order_by("pk")
        expires = now + lease_of(project)
        undecided = Ordering.objects.filter(decided_at=None)
        for ordering in held:
            if LINE_UPS.renew(
                ordering.line_up_id, undecided.filter(pk=ordering.pk), expires=expires
            ):
                return ordering
        already_served = Ordering.objects.filter(line_up=OuterRef("pk"), rater=rater)
        free = LineUp.objects.filter(
            ~Exists(already_served),
            project=project,
            state=LineUp.State.OPEN,
            orders_taken__lt=F("orders_wanted"),
        ).order_by("-priority", "shuffle", "id")
        # Where rows are locked, raters pass over what another one is taking, if there is more.
        locked = free.select_for_update(of=("self",))
        line_up = locked.select_for_update(skip_locked=True, of=("self",)).first() or locked.first()
        if line_up is None or not LINE_UPS.take(line_up.pk):
            return None
        shown = list(line_up.places.values_list("completion_id", flat=True))
        _draw.shuffle(shown)
        return Ordering.objects.create(
            line_up=line_up,
            rater=rater,
            shown=shown,
            served_at=now,
            expires_at=expires,
        )


def release_held_orderings(*, project: Project, rater: User, now: datetime) -> None:
    """Let the lease of the line-up that ``rater`` holds run out now."""
    Ordering.objects.filter(
        line_up__project=project, rater=rater, decided_at=None, released_at=None
    ).update(expires_at=now - timedelta(seconds=1))
    release_expired_orderings(now=now)


def take_back_orders(*, project: Project, rater: User, now: datetime) -> None:
    """Take every order of ``rater`` back for good; the judgements it stands for are rows of
    their own. Others may order what is open."""
    orderings = Ordering.objects.filter(line_up__project=project, rater=rater, places__isnull=False)
    for pk, line_up in list(orderings.values_list("pk", "line_up_id")):
        with transaction.atomic():
            if orderings.filter(pk=pk).update(places=None, is_skipped=True, decided_at=now):
                LINE_UPS.give_back(line_up)
                settled = LineUp.objects.filter(pk=line_up, state=LineUp.State.SETTLED)
                settled.update(state=LineUp.State.OPEN)


def release_expired_orderings(*, now: datetime | None = None) -> int:
    """Give back the slots of line-ups that were left open too long. Returns how many."""
    now = now or timezone.now()
    expired = Ordering.objects.filter(decided_at=None, released_at=None, expires_at__lt=now)
    released = 0
    for pk, line_up in list(expired.values_list("pk", "line_up_id")):
        with transaction.atomic():
            if expired.filter(pk=pk).update(released_at=now):
                LINE_UPS.give_back(line_up)
                released += 1
    return released


def has_line_up(*, project: Project, rater: User) -> bool:
    """Whether there is a line-up that the rater holds, or may be given now."""
    if not project.line_up_size or pause_of(project=project, rater=rater) is not None:
        return False
    own_orderings = Ordering.objects.filter(line_up=OuterRef("pk"), rater=rater)
    line_ups = LineUp.objects.filter(project=project, state=LineUp.State.OPEN)
    free = line_ups.filter(~Exists(own_orderings), orders_taken__lt=F("orders_wanted"))
    held = own_orderings.filter(decided_at=None, released_at=None)
    return free.exists() or line_ups.filter(Exists(held)).exists()


# --- deciding ---


def record_order(
    *, code: UUID, rater: User, places: Sequence[str], now: datetime | None = None
) -> Literal["stored", "repeated", "conflicting", "late"]:
    """Store the places that ``rater`` gave to the answers of the line-up ``code``, once.

    Raises UnknownOrdering where that rater was never served it, and OrderRefused, with nothing
    stored, where the places will not do.
    """
    now = now or timezone.now()
    with transaction.atomic():
        ordering = _locked(code, rater)
        numbers = check_places(places, len(ordering.shown))
        if ordering.decided_at is not None:
            return "repeated" if ordering.places == numbers else "conflicting"
        if not _may_count(ordering):
            return "late"
        ordering.places, ordering.decided_at, ordering.released_at = numbers, now, None
        ordering.save(update_fields=["places", "decided_at", "released_at"])
        _judge_pairs(ordering, numbers, now)
        decided = ordering.line_up.orderings.filter(places__isnull=False).count()
        if decided >= ordering.line_up.orders_wanted:
            LineUp.objects.filter(pk=ordering.line_up_id).update(state=LineUp.State.SETTLED)
    return "stored"


def skip_line_up(*, code: UUID, rater: User, now: datetime | None = None) -> None:
    """Leave the line-up to somebody else. Raises UnknownOrdering."""
    with transaction.atomic():
        ordering = _locked(code, rater)
        if ordering.decided_at is not None:
            return
        if ordering.released_at is None:
            LINE_UPS.give_back(ordering.line_up_id)
        ordering.is_skipped, ordering.decided_at = True, now or timezone.now()
        ordering.save(update_fields=["is_skipped", "decided_at"])


def last_order(*, project: Project, rater: User) -> Ordering | None:
    """The rater's last order; None where there is none."""
    orderings = Ordering.objects.filter(line_up__project=project, rater=rater, places__isnull=False)
    return orderings.order_by("-decided_at", "-pk").first()


@transaction.atomic
def reopen_order(*, code: UUID, rater: User, now: datetime | None = None) -> Ordering:
    """Take an order back, so that it is served again. Raises CannotUndo, in words."""
    now = now or timezone.now()
    ordering = _locked(code, rater)
    if ordering.places is None:
        raise CannotUndo(_("You have not judged that one yet."))
    if ordering.line_up.state == LineUp.State.VOID:
        raise CannotUndo(_("That comparison was withdrawn, so your verdict stays."))
    for a, b in combinations(sorted(ordering.shown), 2):
        unlocked = Comparison.objects.get(a_id=a, b_id=b, purpose=Comparison.Purpose.LINE_UP)
        comparison = lock_comparison(unlocked.pk)
        if not reopen_comparison(comparison=comparison):
            raise CannotUndo(_("A training round has already used that verdict, so it stays."))
        Judgement.objects.filter(comparison=comparison, rater=rater, retracted_at=None).update(
            retracted_at=now
        )
    LineUp.objects.filter(pk=ordering.line_up_id).update(state=LineUp.State.OPEN)
    ordering.places = ordering.decided_at = None
    ordering.expires_at = now + lease_of(ordering.line_up.project)
    ordering.save(update_fields=["places", "decided_at", "expires_at"])
    return ordering


def _judge_pairs(ordering: Ordering, places: Sequence[int], now: datetime) -> None:
    """A comparison and a judgement for each pair; settled where the votes suffice."""
    line_up = ordering.line_up
    for a, b, outcome, swapped in pairs_of(ordering.shown, places):
        comparison, _made = Comparison.objects.get_or_create(
            a_id=a,
            b_id=b,
            purpose=Comparison.Purpose.LINE_UP,
            defaults={
                "project_id": line_up.project_id,
                "prompt_id": line_up.prompt_id,
                "shuffle": line_up.shuffle,
                "judgements_wanted": line_up.orders_wanted,
                "judgements_taken": line_up.orders_wanted,  # no card is made of it
            },
        )
        comparison = lock_comparison(comparison.pk)
        Judgement.objects.create(
            comparison=comparison,
            rater=ordering.rater,
            swapped=swapped,
            outcome=outcome,
            served_at=ordering.served_at,
            expires_at=ordering.expires_at,
            decided_at=now,
        )
        settle_comparison(comparison=comparison)


def _locked(code: UUID, rater: User) -> Ordering:
    """The rater's ordering; its line-up's row is held until the transaction ends."""
    ordering = Ordering.objects.filter(code=code, rater=rater).first()
    if ordering is None:
        raise UnknownOrdering(code)
    line_up = (
        LineUp.objects.select_for_update(of=("self",))
        .select_related("project")
        .get(pk=ordering.line_up_id)
    )
    ordering.refresh_from_db()
    ordering.line_up = line_up
    return ordering


def _may_count(ordering: Ordering) -> bool:
    """Whether its slot is still, or again, the rater's."""
    if ordering.line_up.state != LineUp.State.OPEN:
        return False
    return ordering.released_at is None or LINE_UPS.take(ordering.line_up_id)


# --- showing ---


@dataclasses.dataclass(frozen=True)
class Shown:
    """An answer as it stands on the page: its letter and itself."""

    letter: str
    completion: Completion


def answers_of(ordering: Ordering) -> list[Shown]:
    """The answers in the order in which they are shown."""
    rows = Completion.objects.in_bulk(ordering.shown)
    letters = "ABCDEFGH"
    return [Shown(letters[place], rows[pk]) for place, pk in enumerate(ordering.shown)]
