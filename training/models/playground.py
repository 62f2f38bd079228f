"""Prompts tried out by hand, and the answers to them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from annotate.models import Message, Policy, Project
from training.models.jobs import Job


class Tryout(models.Model):
    """A prompt that a manager has two policies answer. No completion, and nobody's card."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="tryouts")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    messages = models.JSONField()
    is_blind = models.BooleanField(
        default=False, help_text="Sides were drawn, and names wait until somebody asks for them."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"tryout {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("tryout", args=[self.project.slug, self.pk])

    @property
    def question(self) -> str:
        last: Message = self.messages[-1]
        return last["content"]

    @property
    def system(self) -> str:
        first: Message = self.messages[0]
        return first["content"] if first["role"] == "system" else ""


class TryoutAnswer(Job):
    """One policy's answer to a tryout, growing while it is written."""

    class Side(models.TextChoices):
        A = "a", _("Response A")
        B = "b", _("Response B")

    tryout = models.ForeignKey(Tryout, models.CASCADE, related_name="answers")
    side = models.CharField(max_length=1, choices=Side)
    policy = models.ForeignKey(Policy, models.CASCADE, related_name="+")
    text = models.TextField(blank=True)
    finish_reason = models.CharField(max_length=20, blank=True)
    token_count = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["side"]
        constraints = [
            models.UniqueConstraint(fields=["tryout", "side"], name="one_answer_a_side"),
        ]

    def __str__(self) -> str:
        return f"answer {self.pk}"

    @property
    def is_served(self) -> bool:
        """Whether an endpoint writes it, and not the engine."""
        return bool(self.config.get("kind") == "endpoint")
