"""Who belongs to a project: roles, pauses, leaving."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import (
    Comparison,
    Departure,
    Judgement,
    Membership,
    PreferencePair,
    Project,
    User,
)
from annotate.onboarding.consent import consents_of
from annotate.queue.leases import CARDS, lock_comparison, release_expired
from annotate.queue.line_ups import release_held_orderings, take_back_orders
from annotate.queue.settle import reopen_comparison

Role = Membership.Role
RANK = {Role.RATER: 0, Role.REVIEWER: 1, Role.MANAGER: 2}


class LastManager(Exception):
    """A project keeps at least one manager."""

    def __init__(self) -> None:
        super().__init__(_("A project needs a manager. Make somebody else one first."))


@transaction.atomic
def change_role(*, membership: Membership, role: str) -> None:
    """Give somebody another role. Raises LastManager."""
    if membership.role == Role.MANAGER and role != Role.MANAGER:
        _need_another_manager(membership)
    membership.role = Role(role)
    membership.save(update_fields=["role"])


@transaction.atomic
def pause(*, membership: Membership, reason: str = "", now: datetime | None = None) -> None:
    """No cards for this person until ``resume``; the ones that they hold go to others."""
    now = now or timezone.now()
    membership.paused_at = membership.paused_at or now
    membership.paused_reason = reason.strip()
    membership.save(update_fields=["paused_at", "paused_reason"])
    release_held(project=membership.project, user=membership.user, now=now)


def resume(*, membership: Membership) -> None:
    """Cards again."""
    membership.paused_at = None
    membership.paused_reason = ""
    membership.save(update_fields=["paused_at", "paused_reason"])


@transaction.atomic
def leave(
    *,
    membership: Membership,
    by: User | None = None,
    take_judgements: bool = False,
    now: datetime | None = None,
) -> Departure:
    """End a membership: at the person's own request (``by`` None or themselves) or a manager's.

    Consent ends with it. What was judged stays, unless ``take_judgements``: then every verdict is
    retracted, comparisons that no snapshot has frozen are judged again by others, and pairs that
    one has are left out of every later snapshot and export. Files of past snapshots are what
    rounds were trained on; they stay as they are. Raises LastManager.
    """
    now = now or timezone.now()
    project, user = membership.project, membership.user
    if membership.role == Role.MANAGER:
        _need_another_manager(membership)
    release_held(project=project, user=user, now=now)
    consents_of(project=project, user=user).filter(withdrawn_at=None).update(withdrawn_at=now)
    if take_judgements:
        _take_back_judgements(project=project, user=user, now=now)
    membership.delete()
    return Departure.objects.create(
        project=project,
        user=user,
        by=None if by == user else by,
        left_at=now,
        took_judgements=take_judgements,
    )


def release_held(*, project: Project, user: User, now: datetime) -> None:
    """Let the leases of the cards that ``user`` holds run out now."""
    Judgement.objects.filter(
        project=project, rater=user, outcome=None, released_at=None, retracted_at=None
    ).update(expires_at=now - timedelta(seconds=1))
    release_expired(project=project, now=now)
    release_held_orderings(project=project, rater=user, now=now)


def _take_back_judgements(*, project: Project, user: User, now: datetime) -> None:
    judgements = Judgement.objects.standing().filter(project=project, rater=user)
    for pk, comparison_pk, outcome in list(
        judgements.values_list("pk", "comparison_id", "outcome")
    ):
        comparison = lock_comparison(comparison_pk)
        if outcome != Judgement.Outcome.SKIP:
            is_void = comparison.state == Comparison.State.VOID
            if is_void or reopen_comparison(comparison=comparison):
                CARDS.give_back(comparison_pk)
            else:  # others' edited answers stay
                PreferencePair.objects.filter(
                    Q(judgement=None) | Q(judgement=pk), comparison=comparison
                ).update(withdrawn_at=now)
        Judgement.objects.filter(pk=pk).update(retracted_at=now)
    take_back_orders(project=project, rater=user, now=now)


def _need_another_manager(membership: Membership) -> None:
    managers = Membership.objects.select_for_update().filter(
        project=membership.project_id, role=Role.MANAGER
    )
    if all(manager.pk == membership.pk for manager in managers):
        raise LastManager
