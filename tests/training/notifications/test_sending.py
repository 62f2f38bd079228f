"""Messages over a real connection: signed, tried again with the same id, given up in the end."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise

import pytest
from django.core import mail as outbox
from django.db.models import F
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from training.models import Delivery
from training.notifications import outbox as news
from training.notifications.sending import WAITS, deliver, secret_of

pytestmark = pytest.mark.django_db
State = Delivery.State


def later() -> None:
    """Pretend that the wait is over."""
    Delivery.objects.update(next_at=timezone.now() - timedelta(seconds=1))


def send(delivery: Delivery) -> Delivery:
    deliver(delivery.pk)
    delivery.refresh_from_db()
    return delivery


def test_a_webhook_is_signed_as_the_specification_says(hook, receiver, end_round):
    end_round("failed")
    news.sweep()
    sent = send(hook.deliveries.get())
    assert (sent.state, sent.answer) == (State.SENT, "Answered with status 204.")
    (message,) = receiver.messages
    assert message.path == "/hooks/1?team=2"
    assert message.headers["content-type"] == "application/json"
    payload = Webhook(secret_of(hook)).verify(message.body, message.headers)
    assert payload["type"] == "round.failed"
    assert payload["data"]["error"] == "The disk is full."
    assert payload["data"]["url"].endswith("/p/sharpen/rounds/1/")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_of(hook)).verify(message.body.replace(b"full", b"fine"), message.headers)


def test_an_outage_loses_nothing_and_repeats_the_id(hook, receiver, end_round):
    receiver.script.extend([500, 503])
    end_round("failed")
    news.sweep()
    message = hook.deliveries.get()
    assert send(message).state == State.WAITING
    assert message.answer == "Answered with status 500."
    assert send(message).attempt == 1  # it is not due yet
    for expected in (State.WAITING, State.SENT):
        later()
        assert send(message).state == expected
    assert len(receiver.messages) == 3
    assert len({request.headers["webhook-id"] for request in receiver.messages}) == 1
    assert len({request.body for request in receiver.messages}) == 1
    later()
    send(message)
    assert len(receiver.messages) == 3


def test_the_waits_grow_and_then_it_is_given_up(hook, receiver):
    receiver.script.extend([500] * 20)
    message = news.send_test(recipient=hook)
    waits = []
    for _try in range(len(WAITS)):
        later()
        before = timezone.now()
        waits.append(send(message).next_at - before)
    assert all(short < long for short, long in pairwise(waits))
    assert sum(WAITS, timedelta()) > timedelta(days=3)
    later()
    assert send(message).state == State.GIVEN_UP
    news.send_again(delivery=message)
    receiver.script.clear()
    assert send(message).state == State.SENT
    assert len({request.headers["webhook-id"] for request in receiver.messages}) == 1


def test_a_worker_that_died_half_way_leaves_it_to_the_next(hook, receiver):
    message = news.send_test(recipient=hook)
    lease = timezone.now() + timedelta(seconds=60)
    Delivery.objects.update(attempt=F("attempt") + 1, next_at=lease)
    assert send(message).state == State.WAITING
    assert news.due() == []
    assert news.due(now=lease + timedelta(seconds=1)) == [message.pk]


def test_one_that_is_gone_is_switched_off(hook, receiver):
    receiver.script.append(410)
    message = send(news.send_test(recipient=hook))
    hook.refresh_from_db()
    assert (message.state, hook.is_on) == (State.GIVEN_UP, False)


def test_redirects_are_not_followed(hook, receiver):
    receiver.script.append(302)
    message = send(news.send_test(recipient=hook))
    assert message.state == State.WAITING
    assert "not followed" in message.answer
    assert len(receiver.messages) == 1


def test_a_host_that_is_not_listed_any_more_is_not_reached(hook, receiver, settings):
    settings.ENDPOINT_HOSTS = ["hooks.example.org"]
    message = send(news.send_test(recipient=hook))
    assert "not on the list" in message.answer
    assert receiver.messages == []


def test_a_name_that_leads_to_a_private_address_is_not_reached(add, settings):
    settings.ENDPOINT_HOSTS = ["localhost.localdomain", "ip6-localhost", "localhost:9"]
    hook = add("webhook", "http://localhost:9/hook")
    settings.ENDPOINT_HOSTS = ["127.0.0.2"]
    assert "not on the list" in send(news.send_test(recipient=hook)).answer


def test_nobody_there_is_said(add, settings):
    settings.ENDPOINT_HOSTS = ["127.0.0.1"]
    hook = add("webhook", "http://127.0.0.1:9/hook")
    message = send(news.send_test(recipient=hook))
    assert message.answer == "127.0.0.1:9 cannot be reached, or broke off."


def test_mail_goes_out_once_with_an_id_of_its_own(add, mail, end_round):
    recipient = add("email", "ada@example.org")
    end_round("succeeded")
    news.sweep()
    message = send(recipient.deliveries.get())
    later()
    send(message)
    (letter,) = outbox.outbox
    assert letter.to == ["ada@example.org"]
    assert letter.subject == "Sharpen: round 1 has succeeded"
    assert message.message_id.hex in letter.extra_headers["Message-ID"].replace("-", "")
    assert message.state == State.SENT


def test_without_a_mail_server_it_waits(add, settings):
    settings.EMAIL_URL = ""
    message = send(news.send_test(recipient=add("email", "ada@example.org")))
    assert message.state == State.WAITING
    assert "WHETSTONE_EMAIL_URL" in message.answer


def test_a_name_with_a_line_break_makes_no_header(add, mail, cast):
    cast.project.name = "Sharpen\nBcc: eve@example.org"
    cast.project.save()
    send(news.send_test(recipient=add("email", "ada@example.org")))
    assert outbox.outbox[0].subject == "Sharpen Bcc: eve@example.org: a test message"


def test_the_receiver_of_the_handbook_accepts_it_and_nothing_else(hook, receiver):
    from tests.conftest import ROOT

    text = (ROOT / "docs" / "operating.md").read_text()
    code = text.partition("```python\n# a receiver\n")[2].partition("```")[0]
    assert code
    names: dict = {}
    exec(code, names)
    send(news.send_test(recipient=hook))
    (message,) = receiver.messages
    headers = message.headers
    assert names["is_genuine"](secret_of(hook), headers, message.body)
    assert not names["is_genuine"](secret_of(hook), headers, message.body + b" ")
    old = {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
    assert not names["is_genuine"](secret_of(hook), old, message.body)
    assert json.loads(message.body)["type"] == "test"
