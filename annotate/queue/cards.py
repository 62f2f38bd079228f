"""Which card a rater gets: the one on the screen, the one ahead, and their leases."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import IntegrityError
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.db.fast_rows import insert
from annotate.db.write_lock import write_lock
from annotate.models import Comparison, Judgement, Project, User
from annotate.quality.gold import gold_due
from annotate.queue import sql
from annotate.queue.empty_queue import pause_of
from annotate.queue.leases import CARDS, lease_of, release_expired
from annotate.queue.sides import draw_swapped

AT_ONCE = 2
"""How many undecided cards a rater holds at most, reopened ones apart: one shown, one ahead."""

FAR_AHEAD = 11
"""How many, where the queue is deep: then ten votes can be given without a connection."""

DEEP_QUEUE = 100
"""This many open comparisons must be waiting for that, or few raters would hold all of them."""

_draw = random.SystemRandom()


class CannotRenew(Exception):
    """The card is no longer this rater's, for a reason that can be shown."""


def serve_next(*, project: Project, rater: User, now: datetime | None = None) -> Judgement | None:
    """The card that ``rater`` is to judge now, or None where there is none.

    A card that the rater holds comes back as it was, on the same sides: a reopened one first,
    then the one that was served first. Otherwise a slot of the first open comparison that the
    rater has not met is taken. Where answers of a newer policy have come since, the cards held
    give way to them: they come back, as they were, when those are judged.
    """
    return _serve(project=project, rater=rater, after=None, at_once=1, now=now)


def serve_ahead(
    *, project: Project, rater: User, after: UUID, now: datetime | None = None
) -> Judgement | None:
    """The card to show once the one with the code ``after`` is decided, or None.

    Asked again and again, each time with the code of the last answer, it gives one card more,
    up to FAR_AHEAD; at the limit the last one comes again.
    """
    return _serve(project=project, rater=rater, after=after, at_once=AT_ONCE, now=now)


def _serve(
    *, project: Project, rater: User, after: UUID | None, at_once: int, now: datetime | None
) -> Judgement | None:
    now = now or timezone.now()
    if pause_of(project=project, rater=rater) is not None:
        return None
    held = sql.cards_held(rater.pk, project.pk)
    codes = [judgement.code for judgement in held]
    beyond = codes.index(after) + 1 if after in codes else 0
    waiting = held[beyond:]
    outranked = _outranked(waiting if after is None else _given_back(waiting), project, rater)
    if after is None:
        _give_back([judgement for judgement in waiting if judgement.pk in outranked], now=now)
    for judgement in waiting:
        if judgement.pk in outranked:
            continue
        if _renew(judgement=judgement, project=project, now=now):
            return sql.full_card(judgement.pk)
    if after is not None and len(held) >= at_once and _is_deep(project):
        at_once = FAR_AHEAD
    taking = partial(_take_first, project=project, rater=rater, at_once=at_once, now=now)
    if after is None:
        release_expired(project=project, now=now)
        return taking() or _renewed_first(waiting, project=project, now=now)
    # Ahead of a card, at every vote: what others left is looked for when nothing else is.
    return (
        taking()
        or (taking() if release_expired(project=project, now=now) else None)
        or _renewed_first(_given_back(waiting), project=project, now=now)
    )


def _renewed_first(
    held: Iterable[Judgement], *, project: Project, now: datetime
) -> Judgement | None:
    """The first of the cards that is still to be had; None where there is none."""
    for judgement in held:
        if _renew(judgement=judgement, project=project, now=now):
            return sql.full_card(judgement.pk)
    return None


def card_of(*, code: UUID, rater: User) -> Judgement | None:
    """The card that was served to ``rater`` under that code."""
    pk = Judgement.objects.filter(code=code, rater=rater).values_list("pk", flat=True).first()
    return None if pk is None else sql.full_card(pk)


# --- giving way to newer policies ---


def _given_back(held: Iterable[Judgement]) -> list[Judgement]:
    return [judgement for judgement in held if judgement.released_at is not None]


def _outranked(held: Sequence[Judgement], project: Project, rater: User) -> set[int]:
    """Those of the cards that would come after the front of the queue, by key. Reopened ones and
    gold stay: they have places of their own."""
    cards = {
        judgement.comparison_id: judgement.pk for judgement in held if not judgement.replaces_id
    }
    if not cards:
        return set()
    front = sql.front_priority(rater.pk, project.pk)
    if front is None:
        return set()
    below = Comparison.objects.filter(pk__in=cards, priority__lt=front)
    below = below.exclude(purpose=Comparison.Purpose.GOLD)
    return {cards[pk] for pk in below.values_list("pk", flat=True)}


def _give_back(held: Sequence[Judgement], *, now: datetime) -> None:
    """Give the slots of these cards back, as when their leases had run out."""
    for judgement in held:
        with write_lock():
            waiting = Judgement.objects.filter(
                pk=judgement.pk, outcome=None, released_at=None, retracted_at=None
            )
            if waiting.update(released_at=now):
                CARDS.give_back(judgement.comparison_id)


# --- taking ---


def _take_first(*, project: Project, rater: User, at_once: int, now: datetime) -> Judgement | None:
    """A new card from the front of the queue; None where nothing is left for this rater."""
    give = partial(_take, project=project, rater=rater, at_once=at_once, now=now)
    gold = gold_due(project=project, rater=rater)
    judgement = (give(gold) if gold is not None else None) or give(None)
    return None if judgement is None else sql.full_card(judgement.pk)


def _is_deep(project: Project) -> bool:
    ordinary = Comparison.objects.exclude(purpose=Comparison.Purpose.GOLD)
    queue = ordinary.filter(
        project=project,
        state=Comparison.State.OPEN,
        judgements_taken__lt=F("judgements_wanted"),
    ).order_by("-priority", "shuffle", "id")
    return bool(queue.values_list("pk", flat=True)[DEEP_QUEUE : DEEP_QUEUE + 1])


def _take(
    comparison_pk: int | None, *, project: Project, rater: User, at_once: int, now: datetime
) -> Judgement | None:
    """A card on that comparison, or on the first in the queue; None where no slot is left.

    Where another window has meanwhile been given what this one asks for, that card is answered.
    """
    try:
        with write_lock():
            sql.lock_rater(rater.pk)
            held = [
                card
                for card in sql.cards_held(rater.pk, project.pk)
                if card.released_at is None and card.replaces_id is None
            ]
            if len(held) >= at_once:
                return held[at_once - 1]
            if comparison_pk is None:
                comparison_pk = sql.take_first(rater.pk, project.pk)
            elif not CARDS.take(comparison_pk):
                return None
            if comparison_pk is None:
                return None
            return insert(
                Judgement(
                    project=project,
                    comparison_id=comparison_pk,
                    rater=rater,
                    swapped=_draw_side(project=project, rater=rater, comparison_pk=comparison_pk),
                    served_at=now,
                    expires_at=now + lease_of(project),
                )
            )
    except IntegrityError:  # another window of the same rater was quicker
        return None


def _draw_side(*, project: Project, rater: User, comparison_pk: int) -> bool:
    """Balanced within the comparison first, then within the rater's last hundred cards."""
    swapped, straight = sql.sides_in_comparison(comparison_pk)
    if swapped == straight:
        swapped, straight = sql.sides_of_rater(rater.pk, project.pk)
    return draw_swapped(swapped=swapped, straight=straight, random=_draw)


# --- leases ---


def renew_lease(*, project: Project, rater: User, code: UUID, now: datetime | None = None) -> None:
    """Keep the card ``code``, and the others that the rater holds, for another lease.

    Where its lease had run out, its slot is taken again. Raises CannotRenew, in words for the
    rater, where that cannot be.
    """
    now = now or timezone.now()
    held = sql.cards_held(rater.pk, project.pk)
    judgement = next((card for card in held if card.code == code), None)
    if judgement is None or not _renew(judgement=judgement, project=project, now=now):
        raise CannotRenew(_("Your time for this one ran out, and it went to somebody else."))
    others = Judgement.objects.filter(
        pk__in=[card.pk for card in held], decided_at=None, retracted_at=None, released_at=None
    )
    with write_lock():
        others.update(expires_at=now + lease_of(project))


def _renew(*, judgement: Judgement, project: Project, now: datetime) -> bool:
    """Lengthen the lease; where it had been released, take a slot again. False if none is left."""
    expires = now + lease_of(project)
    held = Judgement.objects.filter(pk=judgement.pk, decided_at=None, retracted_at=None)
    with write_lock():
        return CARDS.renew(judgement.comparison_id, held, expires=expires)
