"""Jobs that write completions."""

from __future__ import annotations

from django.db import models

from annotate.models import Policy, Project
from training.models.endpoints import Endpoint, Usage
from training.models.jobs import Job


class SamplingJob(Usage, Job):
    """Completions that the engine, or an endpoint, is to write."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="sampling_jobs")
    policies = models.ManyToManyField(Policy, related_name="sampling_jobs")
    completions_per_prompt = models.PositiveSmallIntegerField(default=2)
    asked = models.JSONField(
        null=True,
        blank=True,
        help_text="Draws as [prompt, policy, number]; none: whatever the policies still owe.",
    )
    stored = models.PositiveIntegerField(default=0)
    endpoint = models.ForeignKey(
        Endpoint, models.PROTECT, null=True, blank=True, related_name="jobs"
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"sampling job {self.pk}"
