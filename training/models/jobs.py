"""What all jobs have in common, and the machines that they run on."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Job(models.Model):
    """Work for the engine. Claimed by compare-and-swap; ``attempt`` is the fencing token."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        PAUSED = "paused", pgettext_lazy("a round", "Paused")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    UNFINISHED = (State.QUEUED, State.RUNNING, State.PAUSED)

    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    stops = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that ended because the worker was asked to stop."
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    nudged_at = models.DateTimeField(
        null=True, blank=True, help_text="When a message was last sent."
    )
    run_dir = models.CharField(max_length=500, blank=True)
    seed = models.BigIntegerField(default=0)
    config = models.JSONField(default=dict, help_text="The engine's job, as written to job.json.")
    code_version = models.CharField(max_length=100, blank=True)
    phase = models.CharField(max_length=100, blank=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    log_tail = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    @property
    def is_finished(self) -> bool:
        return self.state not in self.UNFINISHED


class Machine(models.Model):
    """What a worker's machine said of itself when its engine last ran."""

    name = models.CharField(max_length=200, unique=True)
    report = models.JSONField(help_text="As the engine writes it to machine.json.")
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name
