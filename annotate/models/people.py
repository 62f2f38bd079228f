"""Guidelines and consents, invitations, and departures from a project."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

# The tables around the people, and of line-ups: Django looks for models in this module.


class ProjectText(models.Model):
    """One version of a project's guidelines or consent text. A row is never changed."""

    class Kind(models.TextChoices):
        GUIDELINES = "guidelines", _("Guidelines")
        CONSENT = "consent", _("Consent text")

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="texts")
    kind = models.CharField(max_length=10, choices=Kind)
    number = models.PositiveIntegerField()
    text = models.TextField(blank=True, help_text="Markdown; empty where there is none any more.")
    note = models.CharField(max_length=300, blank=True, help_text="What is new, in a sentence.")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "kind", "number"], name="one_text_a_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="texts_count_from_one"),
        ]

    def __str__(self) -> str:
        label = gettext("%(kind)s, version %(number)s")
        return label % {"kind": self.get_kind_display(), "number": self.number}

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("A version of a text is never changed; write a new one.")
        super().save(*args, **kwargs)


class Consent(models.Model):
    """A person agreed to one version of a project's consent text. The row outlives membership."""

    text = models.ForeignKey(ProjectText, models.PROTECT, related_name="consents")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="consents")
    given_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["text", "user"],
                condition=Q(withdrawn_at=None),
                name="one_consent_to_a_text",
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | Q(withdrawn_at__gte=F("given_at")),
                name="consent_given_before_withdrawn",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.text}"


class Invitation(models.Model):
    """A link by which people join. Only the token's hash is kept: nobody can read it back."""

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(max_length=200, blank=True)
    expires_at = models.DateTimeField()
    max_uses = models.PositiveIntegerField(null=True, blank=True)
    uses = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(role__in=["rater", "reviewer", "manager"]), name="invited_to_a_role"
            ),
            models.CheckConstraint(
                condition=Q(max_uses=None) | Q(max_uses__gte=1), name="invites_somebody"
            ),
            models.CheckConstraint(
                condition=Q(max_uses=None) | Q(uses__lte=F("max_uses")),
                name="no_more_uses_than_allowed",
            ),
        ]

    def __str__(self) -> str:
        return f"invitation {self.pk} to {self.project}"


class Arrival(models.Model):
    """Who came by which invitation, and when."""

    invitation = models.ForeignKey(Invitation, models.CASCADE, related_name="arrivals")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="arrivals")
    arrived_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.user} by {self.invitation}"


class Departure(models.Model):
    """Who left a project or was removed from it, and whether they took their judgements back."""

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="departures")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="departures")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    left_at = models.DateTimeField(default=timezone.now, editable=False)
    took_judgements = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"{self.user} left {self.project}"
