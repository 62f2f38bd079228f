"""Rounds, the snapshots that they train on, and what they report."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from annotate.models import Policy, PreferencePair, Project
from training.models.jobs import Job
from training.storage import artifacts


class Snapshot(models.Model):
    """An immutable, hashed dataset: what a round trains on and what is exported."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="snapshots")
    pairs = models.ManyToManyField(PreferencePair, related_name="snapshots")
    filters = models.JSONField(default=dict)
    counts = models.JSONField(help_text="Pairs by split.")
    sha256 = models.CharField(max_length=64, unique=True)
    path = models.CharField(max_length=500)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def file(self) -> Path:
        """Its bytes on this machine. Raises ArtifactError where they are lost."""
        return artifacts.local_file(f"snapshots/{self.sha256}.jsonl", self.sha256)


class Round(Job):
    """One training run from a snapshot; makes one adapter, one policy."""

    class Kind(models.TextChoices):
        DPO = "dpo", "DPO"
        SFT = "sft", "SFT warm-up"
        REWARD = "reward", _("Reward model")

    class Trigger(models.TextChoices):
        BUTTON = "button", _("a manager")
        PAIRS = "pairs", _("enough new pairs")
        TIME = "time", _("the clock")
        PLAN = "plan", _("the schedule")

    project = models.ForeignKey(Project, models.PROTECT, related_name="rounds")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=6, choices=Kind, default=Kind.DPO)
    trigger = models.CharField(max_length=10, choices=Trigger, default=Trigger.BUTTON)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    snapshot = models.ForeignKey(Snapshot, models.PROTECT, related_name="rounds")
    start = models.ForeignKey(
        Policy, models.PROTECT, related_name="rounds_from", help_text="Trained on from here."
    )
    reference = models.ForeignKey(
        Policy, models.PROTECT, related_name="rounds_against", help_text="Frozen in the loss."
    )
    policy = models.OneToOneField(
        Policy, models.PROTECT, null=True, blank=True, related_name="made_by"
    )
    reward_adapter = models.CharField(
        max_length=500, blank=True, help_text="What a reward round makes in place of a policy."
    )
    result = models.JSONField(default=dict, blank=True, help_text="The engine's result.json.")
    provenance = models.JSONField(
        default=dict,
        blank=True,
        help_text="Code, libraries, hardware, threads, seed and hashes that the result comes from.",
    )
    recipe = models.JSONField(
        default=dict, blank=True, help_text="What was asked for, and what it was estimated to take."
    )
    window = models.OneToOneField(
        "PlanWindow",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="round",
        help_text="The plan's time that it was started by: one round a time.",
    )
    pause_requested_at = models.DateTimeField(null=True, blank=True)
    seconds_left = models.FloatField(
        null=True, blank=True, help_text="Of training, as its worker saw it at the last heartbeat."
    )
    kept_step = models.PositiveIntegerField(
        null=True, blank=True, help_text="The step of the checkpoint that it can go on from."
    )

    class Meta:
        ordering = ["project", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="one_round_a_number"),
            models.CheckConstraint(
                condition=(
                    Q(state="succeeded", policy__isnull=False, reward_adapter="")
                    & ~Q(kind="reward")
                )
                | (Q(state="succeeded", kind="reward", policy=None) & ~Q(reward_adapter=""))
                | (~Q(state="succeeded") & Q(policy=None, reward_adapter="")),
                name="succeeded_round_has_what_it_makes",
            ),
            # Two managers, or a manager and the clock, cannot start two rounds at once.
            models.UniqueConstraint(
                fields=["project"],
                condition=Q(state__in=("queued", "running", "paused")),
                name="one_unfinished_round_a_project",
            ),
        ]

    def __str__(self) -> str:
        return f"round {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("round", args=[self.project.slug, self.number])


class PlanWindow(models.Model):
    """One moment of a project's time plan that has come, dealt with once, be it by no round."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="plan_windows")
    at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    words = models.TextField(blank=True, help_text="Why no round started, where none did.")

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["project", "at"], name="one_row_a_plan_window"),
        ]

    def __str__(self) -> str:
        return f"{self.project} at {self.at:%Y-%m-%d %H:%M}"


class Metric(models.Model):
    """One number of a round at one step: ``train/…``, ``held_out/…``, ``answers/…``."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="metrics")
    step = models.PositiveIntegerField()
    name = models.CharField(max_length=60)
    value = models.FloatField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "step", "name"], name="one_value_a_step"),
        ]

    def __str__(self) -> str:
        return f"{self.name}@{self.step}"


class RoundSample(models.Model):
    """What the policy in training answered to one of the round's fixed prompts at one step."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    place = models.PositiveSmallIntegerField(help_text="Which of the fixed prompts.")
    messages = models.JSONField(help_text="The prompt.")
    is_held_out = models.BooleanField(default=True)
    text = models.TextField(blank=True)
    token_count = models.PositiveIntegerField()
    is_cut = models.BooleanField(default=False)

    class Meta:
        ordering = ["round", "place", "step"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "step", "place"], name="one_sample_a_step_and_place"
            ),
        ]

    def __str__(self) -> str:
        return f"sample {self.place}@{self.step}"
