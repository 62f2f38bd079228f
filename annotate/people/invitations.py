"""Invitations: links by which people join, and who came by them.

The token is only in the link. The database has its SHA-256, which is enough to recognise a
random token of 256 bits and not enough to make the link again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Literal

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from annotate.models import Arrival, Departure, Invitation, Membership, Project, User
from annotate.people.members import RANK

InvitationState = Literal["open", "expired", "revoked", "used_up"]


class CannotJoin(Exception):
    """Why the link does not let this person in: a short name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class Joined:
    """``membership`` and what the link did to it."""

    membership: Membership
    change: Literal["joined", "promoted", "none"]


def invite(
    *,
    project: Project,
    role: str,
    by: User,
    lasts: timedelta,
    max_uses: int | None = None,
    note: str = "",
) -> tuple[Invitation, str]:
    """A new invitation, and its token: shown once, because it is not kept."""
    token = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        project=project,
        role=Membership.Role(role),
        token_hash=hash_of(token),
        note=note.strip(),
        expires_at=timezone.now() + lasts,
        max_uses=max_uses,
        created_by=by,
    )
    return invitation, token


def hash_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def find(token: str) -> Invitation | None:
    """The invitation whose link has ``token``."""
    return (
        Invitation.objects.filter(token_hash=hash_of(token))
        .select_related("project", "created_by")
        .first()
    )


def state_of(invitation: Invitation, *, now: datetime | None = None) -> InvitationState:
    """Whether the link still lets people in, or why not."""
    if invitation.revoked_at is not None:
        return "revoked"
    if invitation.expires_at <= (now or timezone.now()):
        return "expired"
    if invitation.max_uses is not None and invitation.uses >= invitation.max_uses:
        return "used_up"
    return "open"


def revoke(*, invitation: Invitation) -> None:
    """Close the link. Those who came by it stay."""
    Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=timezone.now())


@transaction.atomic
def accept(*, invitation: Invitation, user: User, now: datetime | None = None) -> Joined:
    """Let ``user`` in by ``invitation``. Raises CannotJoin.

    A member is let in even if the link is no longer valid. Only a link to a higher role changes
    their role; no link lowers one.
    """
    now = now or timezone.now()
    member = (
        Membership.objects.select_for_update().filter(project=invitation.project, user=user).first()
    )
    if (
        member is not None
        and RANK[Membership.Role(member.role)] >= RANK[Membership.Role(invitation.role)]
    ):
        return Joined(member, "none")
    if member is None and _was_taken_out(invitation=invitation, user=user):
        raise CannotJoin("taken_out")
    _use(invitation=invitation, now=now)
    Arrival.objects.create(invitation=invitation, user=user, arrived_at=now)
    if member is not None:
        member.role = invitation.role
        member.save(update_fields=["role"])
        return Joined(member, "promoted")
    try:
        with transaction.atomic():
            member = Membership.objects.create(
                project=invitation.project, user=user, role=invitation.role, joined_at=now
            )
    except IntegrityError as error:  # in another tab, a moment ago
        raise CannotJoin("twice") from error
    return Joined(member, "joined")


def _use(*, invitation: Invitation, now: datetime) -> None:
    used = Invitation.objects.filter(
        Q(max_uses=None) | Q(uses__lt=F("max_uses")),
        pk=invitation.pk,
        revoked_at=None,
        expires_at__gt=now,
    ).update(uses=F("uses") + 1)
    if not used:
        invitation.refresh_from_db()
        raise CannotJoin(state_of(invitation, now=now))


def _was_taken_out(*, invitation: Invitation, user: User) -> bool:
    """After a manager removed somebody, older links no longer let them in."""
    return Departure.objects.filter(
        project=invitation.project,
        user=user,
        by__isnull=False,
        left_at__gt=invitation.created_at,
    ).exists()
