"""Who is told of what, and each message on its way."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotate.models import Project


class Event(models.TextChoices):
    SUCCEEDED = "round.succeeded", _("A round has succeeded")
    FAILED = "round.failed", _("A round has failed")
    WARNING = "round.warning", _("A round has warnings")
    GATE_READY = "gate.ready", _("A gate waits for a manager's decision")
    GATE_DECIDED = "gate.decided", _("A gate has been decided")


TEST = "test"
"""The event of a message that somebody asked for to try the way out."""


class Recipient(models.Model):
    """Where a project's news go: an e-mail address or a webhook."""

    class Kind(models.TextChoices):
        EMAIL = "email", _("E-mail")
        WEBHOOK = "webhook", _("Webhook")

    project = models.ForeignKey(Project, models.CASCADE, related_name="recipients")
    kind = models.CharField(max_length=10, choices=Kind)
    address = models.CharField(max_length=500, help_text="An e-mail address, or a URL.")
    events = models.JSONField(default=list)
    language = models.CharField(max_length=10, default="en-gb")
    secret_sealed = models.TextField(
        blank=True, help_text="What a webhook's messages are signed with."
    )
    is_on = models.BooleanField(default=True)
    since = models.DateTimeField(
        default=timezone.now, help_text="What happened before is not told any more."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["kind", "address"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind", "address"], name="one_recipient_an_address"
            ),
        ]

    def __str__(self) -> str:
        return self.address


class Delivery(models.Model):
    """One message to one recipient. The row is the message: it is sent until it has arrived."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        GIVEN_UP = "given_up", _("Given up")

    recipient = models.ForeignKey(Recipient, models.CASCADE, related_name="deliveries")
    message_id = models.UUIDField(default=uuid.uuid4, unique=True)
    event = models.CharField(max_length=20)
    key = models.CharField(
        max_length=100, help_text="What it is about: the same thing is told once."
    )
    subject = models.CharField(max_length=200)
    body = models.TextField(help_text="The very text that is sent.")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)
    answer = models.CharField(max_length=500, blank=True, help_text="What the last try met.")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["recipient", "key"], name="one_delivery_a_thing"),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False)
                | (~Q(state="sent") & Q(sent_at=None)),
                name="sent_deliveries_have_a_time",
            ),
        ]
        indexes = [
            # The sweep asks every few seconds what is due.
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"
