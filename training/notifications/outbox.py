"""From what has happened to rows that will be sent, each thing once to each recipient."""

from __future__ import annotations

import json
import logging
import uuid
from datetime import datetime

from celery import current_app
from django.utils import timezone, translation
from kombu.exceptions import OperationalError

from training.models import Delivery, Recipient
from training.notifications.events import Occurrence, occurrences, trial_occurrence

logger = logging.getLogger(__name__)


def sweep(*, look_at_gates: bool = False) -> None:
    """Note what is new for everybody who wants to know, and send messages for what is due."""
    for recipient in Recipient.objects.filter(is_on=True).select_related("project"):
        try:
            collect(recipient, look_at_gates=look_at_gates)
        except Exception:
            # What cannot be told must not keep the rest of the sweep from its work.
            logger.exception("no news for recipient %s", recipient.pk)
    for pk in due():
        if not dispatch(pk):
            break  # no Redis: it takes seconds to find that out, and the next sweep asks again


def collect(recipient: Recipient, *, look_at_gates: bool = False) -> list[Delivery]:
    """New rows for one recipient. What somebody else has just noted is left as it is."""
    known = set(recipient.deliveries.values_list("key", flat=True))
    with translation.override(language_of(recipient)):
        seen = occurrences(
            recipient.project,
            since=recipient.since,
            events=recipient.events,
            known=known,
            look_at_gates=look_at_gates,
        )
        rows = [row_of(recipient, occurrence) for occurrence in seen]
    return Delivery.objects.bulk_create(rows, ignore_conflicts=True) if rows else []


def send_test(*, recipient: Recipient) -> Delivery:
    """Queue a message that only says that messages arrive."""
    with translation.override(language_of(recipient)):
        occurrence = trial_occurrence(
            recipient.project, key=f"test:{uuid.uuid4()}", at=timezone.now()
        )
        made = row_of(recipient, occurrence)
    made.save()
    dispatch(made.pk)
    return made


def send_again(*, delivery: Delivery) -> None:
    """Put a message that was given up back on its way, with the id that it had."""
    Delivery.objects.filter(pk=delivery.pk, state=Delivery.State.GIVEN_UP).update(
        state=Delivery.State.WAITING, attempt=0, next_at=timezone.now()
    )
    dispatch(delivery.pk)


def due(*, now: datetime | None = None) -> list[int]:
    """The messages whose time has come, of recipients that are switched on."""
    waiting = Delivery.objects.filter(
        state=Delivery.State.WAITING, next_at__lte=now or timezone.now(), recipient__is_on=True
    )
    return list(waiting.order_by("next_at").values_list("pk", flat=True)[:200])


def dispatch(pk: int) -> bool:
    """Tell a worker. False where Redis is absent; the next sweep says it again."""
    try:
        current_app.send_task("training.tasks.deliver", args=[pk], retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("no message sent for delivery %s, the sweep will: %s", pk, error)
        return False
    return True


def language_of(recipient: Recipient) -> str:
    """Programs are spoken to in English, people in the language of who added them."""
    return recipient.language if recipient.kind == Recipient.Kind.EMAIL else "en-gb"


def row_of(recipient: Recipient, occurrence: Occurrence) -> Delivery:
    """The row that sends ``occurrence``: its whole message is written down now."""
    if recipient.kind == Recipient.Kind.EMAIL:
        body = "\n\n".join([*occurrence.lines, occurrence.url]) + "\n"
    else:
        payload = {
            "type": occurrence.event,
            "timestamp": occurrence.at.isoformat(timespec="seconds"),
            "data": {**occurrence.data, "title": occurrence.subject, "url": occurrence.url},
        }
        body = json.dumps(payload, ensure_ascii=False, allow_nan=False)
    return Delivery(
        recipient=recipient,
        event=occurrence.event,
        key=occurrence.key,
        subject=occurrence.subject[:200],
        body=body,
    )
