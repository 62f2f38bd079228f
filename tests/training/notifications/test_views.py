"""The pages: who is notified, the secret that is shown once, and what was sent."""

from __future__ import annotations

import pytest
from django.urls import reverse

from training.models import Delivery, Event, Recipient
from training.notifications import outbox
from training.notifications.sending import secret_of

pytestmark = pytest.mark.django_db
PAGE = reverse("notifications", args=["sharpen"])
DELIVERIES = reverse("deliveries", args=["sharpen"])


def text(response) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def manager(cast, client_of):
    return client_of(cast.manager)


def change(client, recipient, do, **fields):
    address = reverse("change_recipient", args=["sharpen", recipient.pk])
    return client.post(address, {"do": do, **fields}, follow=True)


def test_only_managers_see_and_change_it(add, cast, client_of):
    recipient = add("email", "ada@example.org")
    change_url = reverse("change_recipient", args=["sharpen", recipient.pk])
    for person, status in ((cast.stranger, 404), (cast.rater, 403)):
        client = client_of(person)
        assert client.get(PAGE).status_code == status
        assert client.get(DELIVERIES).status_code == status
        assert client.post(change_url, {"do": "remove"}).status_code == status
    assert Recipient.objects.exists()


def test_a_new_webhooks_secret_is_shown_once(manager, receiver):
    wish = {"kind": "webhook", "address": receiver.url, "events": ["round.failed"]}
    page = text(manager.post(PAGE, wish))
    recipient = Recipient.objects.get()
    assert secret_of(recipient).startswith("whsec_")
    assert secret_of(recipient) in page
    assert secret_of(recipient) not in recipient.secret_sealed
    assert secret_of(recipient) not in text(manager.get(PAGE))


def test_another_secret_takes_the_olds_place(manager, hook):
    old = secret_of(hook)
    page = text(change(manager, hook, "secret"))
    hook.refresh_from_db()
    assert secret_of(hook) != old
    assert secret_of(hook) in page


def test_a_mail_address_is_added_and_told_once(manager, mail):
    wish = {"kind": "email", "address": "ada@example.org", "events": ["round.failed"]}
    assert "ada@example.org is notified from now on." in text(manager.post(PAGE, wish, follow=True))
    assert "ada@example.org is a recipient already." in text(manager.post(PAGE, wish))
    assert Recipient.objects.get().events == ["round.failed"]


@pytest.mark.parametrize(
    ("kind", "address", "message"),
    [
        ("email", "nobody", "valid email address"),
        ("webhook", "ftp://example.org", "begins with https://"),
        ("webhook", "https://elsewhere.example.org/1", "not on the list"),
        ("webhook", "https://me:secret@127.0.0.1/1", "Leave name and password out"),
        ("webhook", "", "This field is required."),
    ],
)
def test_what_cannot_be_told_is_refused(manager, mail, receiver, kind, address, message):
    wish = {"kind": kind, "address": address, "events": ["round.failed"]}
    assert message in text(manager.post(PAGE, wish))
    assert not Recipient.objects.exists()


def test_without_a_mail_server_the_page_says_what_to_set(manager, settings):
    settings.EMAIL_URL = ""
    wish = {"kind": "email", "address": "ada@example.org", "events": ["round.failed"]}
    assert "No mail server is set." in text(manager.post(PAGE, wish))


def test_events_are_chosen_anew(manager, add):
    recipient = add("email", "ada@example.org")
    change(manager, recipient, "events", events=["gate.decided"])
    recipient.refresh_from_db()
    assert recipient.events == [Event.GATE_DECIDED]
    assert "Choose at least one event" in text(change(manager, recipient, "events"))


def test_switching_off_and_on_and_removing(manager, add):
    recipient = add("email", "ada@example.org")
    change(manager, recipient, "off")
    recipient.refresh_from_db()
    assert not recipient.is_on
    change(manager, recipient, "on")
    recipient.refresh_from_db()
    assert recipient.is_on
    change(manager, recipient, "remove")
    assert not Recipient.objects.exists()


def test_a_test_is_sent_and_listed(manager, hook, receiver):
    from training.notifications.sending import deliver

    page = text(change(manager, hook, "test"))
    assert "a test message" in page
    assert "Waiting" in page
    deliver(Delivery.objects.get().pk)
    assert "Answered with status 204." in text(manager.get(DELIVERIES))
    assert len(receiver.messages) == 1


def test_what_was_given_up_is_sent_again(manager, hook):
    message = outbox.send_test(recipient=hook)
    Delivery.objects.update(state=Delivery.State.GIVEN_UP)
    assert "Send again" in text(manager.get(DELIVERIES))
    manager.post(reverse("send_again", args=["sharpen", message.pk]))
    message.refresh_from_db()
    assert message.state == Delivery.State.WAITING


def test_an_unknown_wish_is_refused(manager, add):
    assert change(manager, add("email", "ada@example.org"), "dance").status_code == 422
