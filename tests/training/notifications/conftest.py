"""A receiver, a mail server in memory, and a project with rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.utils import timezone

from annotate.models import Policy
from tests.factories import make_policy
from tests.training.notifications.receiver import Receiver, running_receiver
from training.models import Event, LoopSettings, Recipient, Round, Snapshot
from training.notifications.recipients import add_recipient


@pytest.fixture(autouse=True)
def messages(monkeypatch) -> list[int]:
    """The deliveries that a worker would be sent. There is no broker; only the rows matter."""
    dispatched: list[int] = []

    def note(pk: int) -> bool:
        dispatched.append(pk)
        return True

    monkeypatch.setattr("training.notifications.outbox.dispatch", note)
    return dispatched


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    with running_receiver() as server:
        settings.ENDPOINT_HOSTS = ["127.0.0.1"]
        yield server


@pytest.fixture
def mail(settings) -> None:
    settings.EMAIL_URL = "smtp://mail.example.org"


@pytest.fixture
def add(cast) -> Callable[..., Recipient]:
    """``add("email", address)`` adds a recipient for all events."""

    def new(kind: str, address: str, events: list[str] | None = None, **fields: Any) -> Recipient:
        made, _secret = add_recipient(
            project=cast.project,
            kind=kind,
            address=address,
            events=events or list(Event.values),
            language=fields.pop("language", "en-gb"),
        )
        return made

    return new


@pytest.fixture
def hook(add, receiver) -> Recipient:
    return add("webhook", receiver.url)


@pytest.fixture
def end_round(cast) -> Callable[..., Round]:
    """``end_round("failed")`` makes a round in that state that has just ended."""
    LoopSettings.objects.get_or_create(project=cast.project, defaults={"base_model": "m"})

    def end(state: str, number: int = 1, **fields: Any) -> Round:
        project = cast.project
        base = project.policies.filter(slug="base").first() or make_policy(
            project, "base", kind=Policy.Kind.BASE, base_model="m"
        )
        made = None
        if state == Round.State.SUCCEEDED:
            made = make_policy(project, f"round-{number}", kind=Policy.Kind.ADAPTER)
        snapshot = Snapshot.objects.create(
            project=project,
            counts={"train": 3, "held_out": 8},
            sha256=f"{number:064d}",
            path="absent",
        )
        values = {
            "result": {"held_out": {"pairs": 8, "rewarded": 6.0}} if made else {},
            "error": "" if made else "The disk is full.",
            "finished_at": timezone.now() if state != Round.State.RUNNING else None,
        }
        return Round.objects.create(
            project=project,
            number=number,
            snapshot=snapshot,
            start=base,
            reference=base,
            policy=made,
            state=state,
            **values | fields,
        )

    return end
