"""People, projects, and who is what in which."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# The tables around the people, and of line-ups: Django looks for models in this module.


class User(AbstractUser):
    """A person who logs in. What they may do is decided by their memberships."""

    preferences = models.JSONField(default=dict, blank=True)


class Project(models.Model):
    """One campaign: guidelines, prompts, policies, raters, rounds."""

    class Asked(models.TextChoices):
        OFF = "off", _("Not asked")
        OPTIONAL = "optional", _("May be given")
        REQUIRED = "required", _("Must be given")

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    question = models.CharField(max_length=200, default="Which response is better?")
    # Both as the newest ProjectText says; only annotate.onboarding.texts.write writes them.
    guidelines = models.TextField(blank=True, help_text="Markdown, one key away while rating.")
    consent_text = models.TextField(blank=True, help_text="Markdown, agreed to before rating.")
    strength_mode = models.CharField(max_length=10, choices=Asked, default=Asked.OFF)
    criteria = models.JSONField(
        default=list, blank=True, help_text='What is rated apart: a list of {"key", "name"}.'
    )
    criteria_required = models.BooleanField(default=False)
    reason_mode = models.CharField(max_length=10, choices=Asked, default=Asked.OFF)
    reason_min_length = models.PositiveSmallIntegerField(
        default=0, help_text="Characters that a typed reason needs at least."
    )
    reason_tags = models.JSONField(default=list, blank=True, help_text="Reasons ready to pick.")
    flags_on = models.BooleanField(default=False)
    editing_on = models.BooleanField(default=False)
    judgements_wanted = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
        help_text="How many raters judge each comparison.",
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=10,
        validators=[MinValueValidator(1)],
        help_text="How long a comparison is kept for a rater who has it open.",
    )
    held_out_percent = models.PositiveSmallIntegerField(
        default=20,
        validators=[MaxValueValidator(50)],
        help_text="Share of the prompts that no round ever trains on.",
    )
    prompt_rule = models.PositiveSmallIntegerField(
        default=2,
        editable=False,
        help_text="By which prompts are the same and held out: annotate.content.prompts.",
    )
    screening = models.JSONField(
        default=dict,
        blank=True,
        help_text="Which completions are kept out of comparisons.",
    )
    is_paused = models.BooleanField(default=False)
    gold_every = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(1000)],
        help_text="A rater gets a gold card about once in this many; 0: never.",
    )
    practice_pass_percent = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text="Share of the practice items to get right; empty: taking part is enough.",
    )
    line_up_size = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(8)],
        help_text="How many answers are put into an order at once; 0: they are compared in pairs.",
    )
    compares_own_answers = models.BooleanField(
        default=False,
        help_text="With two or more policies: whether two answers of one policy may meet, in at "
        "most one of ten comparisons. A policy that is alone always meets itself.",
    )
    show_agreement = models.BooleanField(
        default=False, help_text="Whether raters see how often others chose as they did."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("project", args=[self.slug])


class Membership(models.Model):
    """A person's part in a project."""

    class Role(models.TextChoices):
        RATER = "rater", _("Rater")
        REVIEWER = "reviewer", _("Reviewer")
        MANAGER = "manager", _("Manager")

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.RATER)
    joined_at = models.DateTimeField(default=timezone.now, editable=False)
    guidelines_read = models.ForeignKey(
        "annotate.ProjectText",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The version that the person opened last, or was told of.",
    )
    practised_at = models.DateTimeField(null=True, blank=True)
    practice_attempt = models.PositiveSmallIntegerField(default=1)
    paused_at = models.DateTimeField(null=True, blank=True)
    paused_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="one_membership_a_person"),
            models.CheckConstraint(
                condition=Q(paused_at__isnull=False) | Q(paused_reason=""),
                name="a_reason_only_while_paused",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project} ({self.role})"
