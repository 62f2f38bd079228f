"""Adding, changing and removing those who are told."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Project
from training.errors import Refused
from training.models import Recipient
from training.notifications import outbox
from training.notifications.sending import new_secret, origin_of_hook, secret_of


def add_recipient(
    *, project: Project, kind: str, address: str, events: Sequence[str], language: str
) -> tuple[Recipient, str]:
    """The recipient, and its signing secret where it is a webhook: to be shown now, once."""
    made = Recipient(
        project=project,
        kind=Recipient.Kind(kind),
        address=address,
        events=list(events),
        language=language,
    )
    if made.kind == Recipient.Kind.WEBHOOK:
        made.secret_sealed = new_secret(origin_of_hook(address))
    try:
        with transaction.atomic():
            made.save()
    except IntegrityError as error:
        raise Refused(_("%(address)s is a recipient already.") % {"address": address}) from error
    return made, secret_of(made) if made.secret_sealed else ""


def change_events(*, recipient: Recipient, events: Sequence[str], is_on: bool) -> None:
    """From now on these. What had happened by now is told by the choice before."""
    if recipient.is_on:
        outbox.collect(recipient)
    widened = set(events) - set(recipient.events) or (is_on and not recipient.is_on)
    recipient.events, recipient.is_on = list(events), is_on
    if widened:
        recipient.since = timezone.now()
    recipient.save(update_fields=["events", "is_on", "since"])


def renew_secret(*, recipient: Recipient) -> str:
    """Another signing secret, to be shown now, once; the old one is worth nothing any more."""
    recipient.secret_sealed = new_secret(origin_of_hook(recipient.address))
    recipient.save(update_fields=["secret_sealed"])
    return secret_of(recipient)
