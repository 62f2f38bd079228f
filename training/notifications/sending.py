"""Sending one message: claimed, sent, and tried again later where that failed.

Between two tries the wait grows, as the Standard Webhooks specification advises. A worker that
dies after sending and before saying so leads to a second message with the same id.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from smtplib import SMTPException
from urllib.parse import urlsplit, urlunsplit

import httpx2
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from standardwebhooks import Webhook

from training.endpoints.guard import AddressRefused, GuardedTransport, HostRules, Origin, origin_of
from training.endpoints.keys import KeyUnreadable, seal, unseal
from training.models import Delivery, Recipient

logger = logging.getLogger(__name__)
WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Waits after each failed try; after the last one nothing is tried any more. Three days in all."""
LEASE = timedelta(seconds=120)
SECONDS = 20.0
MOST_BYTES = 64 * 1024
HEADERS = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})
GONE = 410


class NotSent(Exception):
    """A try in vain, in words. ``is_final``: the recipient wants nothing any more."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


def deliver(pk: int) -> None:
    """Send message ``pk`` if it is due and nobody else is at it."""
    now = timezone.now()
    won = Delivery.objects.filter(
        pk=pk, state=Delivery.State.WAITING, next_at__lte=now, recipient__is_on=True
    ).update(attempt=F("attempt") + 1, next_at=now + LEASE)
    if not won:
        return
    delivery = Delivery.objects.select_related("recipient__project").get(pk=pk)
    mine = Delivery.objects.filter(pk=pk, state=Delivery.State.WAITING, attempt=delivery.attempt)
    with translation.override(delivery.recipient.language):
        try:
            answer = _send(delivery)
        except NotSent as error:
            _put_off(delivery, str(error), is_final=error.is_final)
            return
        except Exception as error:
            logger.exception("%s", delivery)
            _put_off(delivery, type(error).__name__, is_final=False)
            return
    mine.update(state=Delivery.State.SENT, sent_at=timezone.now(), answer=answer[:500])


def _put_off(delivery: Delivery, reason: str, *, is_final: bool) -> None:
    mine = Delivery.objects.filter(
        pk=delivery.pk, state=Delivery.State.WAITING, attempt=delivery.attempt
    )
    if is_final:
        Recipient.objects.filter(pk=delivery.recipient_id).update(is_on=False)
    if is_final or delivery.attempt > len(WAITS):
        mine.update(state=Delivery.State.GIVEN_UP, answer=reason[:500])
    else:
        wait = WAITS[delivery.attempt - 1]
        mine.update(next_at=timezone.now() + wait, answer=reason[:500])


def _send(delivery: Delivery) -> str:
    """What the other side said. Raises NotSent."""
    if delivery.recipient.kind == Recipient.Kind.EMAIL:
        return _mail(delivery)
    return asyncio.run(_post(delivery))


# --- e-mail ---


def _mail(delivery: Delivery) -> str:
    if not settings.EMAIL_URL:
        raise NotSent(
            _("No mail server is set. The operator of this site sets WHETSTONE_EMAIL_URL.")
        )
    host = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    message = EmailMessage(
        subject=" ".join(delivery.subject.split()),
        body=delivery.body,
        to=[delivery.recipient.address],
        headers={
            "Message-ID": f"<{delivery.message_id}@{host}>",
            "Auto-Submitted": "auto-generated",
        },
    )
    try:
        message.send()
    except (SMTPException, OSError) as error:
        raise NotSent(_("The mail server did not take it: %(error)s") % {"error": error}) from error
    return _("Handed to the mail server.")


# --- webhooks ---


def origin_of_hook(url: str) -> Origin:
    """Scheme, host and port. A webhook's address may have a query. Raises Refused."""
    parts = urlsplit(url)
    if parts.fragment:
        raise AddressRefused(_("Leave out what follows #."))
    return origin_of(urlunsplit(parts._replace(query="")))


def new_secret(origin: Origin) -> str:
    """A fresh signing secret, sealed for ``origin``."""
    return seal("whsec_" + b64encode(secrets.token_bytes(32)).decode(), origin)


def secret_of(recipient: Recipient) -> str:
    """The secret in the open. Raises KeyUnreadable."""
    return unseal(recipient.secret_sealed, origin_of_hook(recipient.address)).value


def signed_headers(delivery: Delivery, secret: str, *, now: datetime) -> dict[str, str]:
    """The three headers of Standard Webhooks: HMAC-SHA256 over id, time and body."""
    message_id = f"msg_{delivery.message_id.hex}"
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, delivery.body),
    }


async def _post(delivery: Delivery) -> str:
    recipient = delivery.recipient
    try:
        origin = origin_of_hook(recipient.address)
        rules = HostRules.of(settings.ENDPOINT_HOSTS)
        rules.check_origin(origin)
        headers = signed_headers(delivery, secret_of(recipient), now=datetime.now(UTC))
    except (AddressRefused, KeyUnreadable) as error:
        raise NotSent(str(error)) from None
    transport = GuardedTransport(
        origin=origin, rules=rules, most_bytes=MOST_BYTES, also_sent=HEADERS
    )
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx2.AsyncClient(transport=transport, timeout=SECONDS) as client,
        ):
            response = await client.post(
                recipient.address,
                content=delivery.body.encode(),
                headers={**headers, "content-type": "application/json"},
            )
    except AddressRefused as error:
        raise NotSent(str(error)) from None
    except (TimeoutError, httpx2.TimeoutException):
        message = _("%(host)s did not answer within %(seconds)s seconds.")
        raise NotSent(message % {"host": origin.host, "seconds": int(SECONDS)}) from None
    except httpx2.HTTPError:
        message = _("%(host)s cannot be reached, or broke off.")
        raise NotSent(message % {"host": f"{origin.host}:{origin.port}"}) from None
    if response.is_success:
        return _("Answered with status %(status)s.") % {"status": response.status_code}
    if response.status_code == GONE:
        raise NotSent(
            _("Answered with status 410 (gone). It was switched off."),
            is_final=True,
        )
    raise NotSent(_("Answered with status %(status)s.") % {"status": response.status_code})
