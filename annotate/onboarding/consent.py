"""Consent: who agreed to which version of the text, and when; asked again when the text changes."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Consent, Membership, Project, ProjectText, User
from annotate.onboarding.texts import Kind, newest


class TextChanged(Exception):
    """The version that was agreed to is no longer the current one."""


def consent_due(*, project: Project, user: User) -> ProjectText | None:
    """The consent text that ``user`` has yet to agree to; None where there is nothing to ask.

    A project without a consent text costs no query.
    """
    if not project.consent_text:
        return None
    text = newest(project, Kind.CONSENT)
    if text is None or not text.text:
        return None
    if Consent.objects.filter(text=text, user=user, withdrawn_at=None).exists():
        return None
    return text


def give_consent(
    *, membership: Membership, number: int, now: datetime | None = None
) -> Consent | None:
    """Record that the person agreed to version ``number``, once.

    Raises TextChanged where that is not the current version; None where nothing is asked.
    """
    text = newest(membership.project, Kind.CONSENT)
    if text is None or not text.text:
        return None
    if text.number != number:
        raise TextChanged(_("The text has changed since this page was opened. Please read it."))
    try:
        with transaction.atomic():
            return Consent.objects.create(
                text=text, user=membership.user, given_at=now or timezone.now()
            )
    except IntegrityError:  # pressed twice
        return Consent.objects.get(text=text, user=membership.user, withdrawn_at=None)


def consents_of(*, project: Project, user: User) -> QuerySet[Consent]:
    """Everything that ``user`` agreed to in ``project``, the newest first."""
    return (
        Consent.objects.filter(text__project=project, user=user)
        .select_related("text")
        .order_by("-given_at", "-pk")
    )
