"""Merged models, and pushes to a hub."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from training.models.jobs import Job
from training.models.rounds import Round


class Merge(Job):
    """A round's adapter, added into its base by the engine: a whole model in its run directory."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="merges")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    result = models.JSONField(default=dict, blank=True, help_text="The engine's result.json.")
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When its files were deleted; they can be made again."
    )

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["round"],
                condition=Q(state__in=("queued", "running")),
                name="one_unfinished_merge_a_round",
            ),
        ]

    def __str__(self) -> str:
        return f"merge {self.pk}"

    @property
    def run(self) -> str:
        """The name of its run directory, which may lie on another machine."""
        return Path(self.run_dir).name


class HubPush(Job):
    """An adapter or a merged model on its way to a model hub."""

    class What(models.TextChoices):
        ADAPTER = "adapter", _("The adapter")
        MERGED = "merged", _("The merged model")

    round = models.ForeignKey(Round, models.CASCADE, related_name="pushes")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    what = models.CharField(max_length=10, choices=What)
    repo = models.CharField(max_length=200, help_text="As owner/name.")
    is_private = models.BooleanField(default=True)
    token_sealed = models.TextField(
        blank=True, help_text="For this push alone; erased when it has ended."
    )
    url = models.CharField(max_length=500, blank=True, help_text="Of the commit, once it is there.")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "what", "repo"],
                condition=Q(state__in=("queued", "running")),
                name="one_unfinished_push_a_repo",
            ),
        ]

    def __str__(self) -> str:
        return f"push {self.pk}"
