"""Line-ups: more than two completions, put in order."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

# The tables around the people, and of line-ups: Django looks for models in this module.


FEWEST, MOST = 3, 8
"""Answers in one line-up."""


class LineUp(models.Model):
    """Completions of one prompt, waiting to be put into an order."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        SETTLED = "settled", _("Settled")
        VOID = "void", _("Withdrawn")

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="line_ups")
    prompt = models.ForeignKey("annotate.Prompt", models.CASCADE, related_name="line_ups")
    completions = models.ManyToManyField(
        "annotate.Completion", through="LineUpPlace", related_name="line_ups"
    )
    priority = models.IntegerField(default=0, help_text="Higher ones are served first.")
    shuffle = models.PositiveIntegerField(editable=False, help_text="Random order in the queue.")
    orders_wanted = models.PositiveSmallIntegerField(default=1)
    orders_taken = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(orders_taken__lte=F("orders_wanted"), orders_wanted__gte=1),
                name="no_more_orders_than_wanted",
            ),
        ]
        indexes = [
            # line_ups.serve_line_up: the open queue of a project in serving order
            models.Index(
                fields=["project", "-priority", "shuffle", "id"],
                condition=Q(state="open"),
                name="line_up_queue",
            ),
        ]

    def __str__(self) -> str:
        return f"line-up {self.pk}"


class LineUpPlace(models.Model):
    """One completion's part in a line-up."""

    line_up = models.ForeignKey(LineUp, models.CASCADE, related_name="places")
    completion = models.ForeignKey("annotate.Completion", models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line_up", "completion"], name="once_in_a_line_up"),
        ]

    def __str__(self) -> str:
        return f"completion {self.completion_id} in line-up {self.line_up_id}"


class Ordering(models.Model):
    """One rater's order of a line-up, from the moment it is served. Of a rater who skips it,
    ``is_skipped`` stays; the judgements that an order stands for are rows of their own."""

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    line_up = models.ForeignKey(LineUp, models.CASCADE, related_name="orderings")
    rater = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orderings")
    shown = models.JSONField(help_text="Completions, in the order in which they were shown.")
    places = models.JSONField(
        null=True, blank=True, help_text="The place of each as shown; 1 is best, equal is a tie."
    )
    is_skipped = models.BooleanField(default=False)
    served_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="When an expired lease gave its slot back."
    )
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["line_up", "rater"], name="one_order_a_rater"),
            models.CheckConstraint(
                condition=Q(decided_at=None, places=None, is_skipped=False)
                | Q(decided_at__isnull=False, places__isnull=False, is_skipped=False)
                | Q(decided_at__isnull=False, places=None, is_skipped=True),
                name="decided_with_places_or_skipped",
            ),
        ]
        indexes = [
            # line_ups.release_expired_orderings
            models.Index(
                fields=["expires_at"],
                condition=Q(decided_at=None, released_at=None),
                name="ordering_leases",
            ),
        ]

    def __str__(self) -> str:
        return f"ordering {self.code}"


"""How many answers a line-up may have; with two it is a comparison."""
