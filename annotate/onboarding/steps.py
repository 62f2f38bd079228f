"""The way to the first card, and what stands in the way of the next one.

Invitation, consent, guidelines, practice, work: steps that a project does not use are skipped.
Guidelines and practice are for the first visit; a consent text is asked for whenever it changes.
"""

from __future__ import annotations

from django.urls import reverse
from django.utils.translation import gettext as _

from annotate.db.fast_rows import Reading
from annotate.models import Judgement, Membership, Project, User
from annotate.onboarding.consent import consent_due
from annotate.onboarding.texts import Kind, newest
from annotate.quality.practice import items_of

MEMBERSHIP = Reading(
    "SELECT {membership} FROM annotate_membership AS membership"
    " WHERE membership.project_id = %s AND membership.user_id = %s",
    membership=Membership,
)


def next_step(membership: Membership) -> str | None:
    """Where this person has to go before rating; None where nothing is in the way.

    Managers are not sent anywhere.
    """
    if membership.pk is None or membership.role == Membership.Role.MANAGER:
        return None
    project, user = membership.project, membership.user
    if consent_due(project=project, user=user):
        return reverse("consent", args=[project.slug])
    unread = membership.guidelines_read_id is None
    unpractised = membership.practised_at is None
    if not (unread or unpractised):
        return None
    guidelines = newest(project, Kind.GUIDELINES) if unread else None
    to_read = guidelines is not None and bool(guidelines.text)
    to_practise = unpractised and items_of(project).exists()
    if not (to_read or to_practise) or _is_at_work(project, user):
        return None
    return reverse("guidelines" if to_read else "practice", args=[project.slug])


def _is_at_work(project: Project, user: User) -> bool:
    """Whether the person was here before there were such steps."""
    return Judgement.objects.filter(project=project, rater=user).exists()


def hindrance(*, project: Project, rater: User) -> tuple[str, str] | None:
    """Why this person gets no card whatever the queue holds: a short name and a sentence.

    Checked before every card, so that a pause or a new consent text takes effect at once.
    """
    row = MEMBERSHIP.first(project.pk, rater.pk)
    if row is None:
        return None
    (member,) = row
    if member.paused_at is not None:
        sentence = _("A manager has paused your part in this project. Your judgements are kept.")
        return "rater_paused", f"{sentence} {member.paused_reason}".strip()
    if member.role != Membership.Role.MANAGER and consent_due(project=project, user=rater):
        return "consent", _("The consent text has changed. Read it to continue.")
    return None
