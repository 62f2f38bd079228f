"""Candidates that meet the champion, and who was champion when."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotate.models import Policy, Project


class Gate(models.Model):
    """A candidate's blind head-to-head with the champion on held-out prompts."""

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        PROMOTED = "promoted", _("Promoted")
        REJECTED = "rejected", _("Rejected")
        CLOSED = "closed", _("Ended without a decision")

    project = models.ForeignKey(Project, models.CASCADE, related_name="gates")
    candidate = models.ForeignKey(Policy, models.PROTECT, related_name="gates")
    champion = models.ForeignKey(Policy, models.PROTECT, related_name="gates_held")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    opened_at = models.DateTimeField(default=timezone.now)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: the gate itself.",
    )
    figures = models.JSONField(
        default=dict, blank=True, help_text="What was known when it was decided."
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(candidate=F("champion")), name="gate_of_two"),
            models.UniqueConstraint(
                fields=["candidate"], condition=Q(state="open"), name="one_open_gate_a_candidate"
            ),
            models.CheckConstraint(
                condition=Q(state="open", decided_at=None)
                | (~Q(state="open") & Q(decided_at__isnull=False)),
                name="open_gates_are_undecided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} against {self.champion}"


class ChampionTerm(models.Model):
    """One stretch of time for which a policy was the champion. The one without an end is now."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="champion_terms")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="champion_terms")
    began_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    gate = models.ForeignKey(
        Gate, models.SET_NULL, null=True, blank=True, related_name="+", help_text="That it won."
    )
    begun_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_rollback = models.BooleanField(default=False)

    class Meta:
        db_table = "training_reign"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(ended_at=None), name="one_reign_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} since {self.began_at:%Y-%m-%d}"
