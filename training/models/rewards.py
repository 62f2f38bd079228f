"""Completions' rewards, and the jobs that find them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from annotate.models import Completion, Project
from training.models.jobs import Job
from training.models.rounds import Round


class ScoringJob(Job):
    """Completions that the engine is to score. ``round`` made what they are scored by."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="scoring_jobs")
    round = models.ForeignKey(Round, models.PROTECT, related_name="scoring_jobs")
    stored = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["round"],
                condition=Q(state__in=("queued", "running")),
                name="one_unfinished_scoring_a_round",
            ),
        ]

    def __str__(self) -> str:
        return f"scoring job {self.pk}"


class Score(models.Model):
    """What one round's model thinks of one completion.

    A policy's implicit reward is ``beta`` (``logp`` - ``reference_logp``); a reward model gives a
    number of its own, and these three are empty.
    """

    round = models.ForeignKey(Round, models.CASCADE, related_name="scores", db_index=False)
    completion = models.ForeignKey(Completion, models.CASCADE, related_name="scores")
    reward = models.FloatField()
    logp = models.FloatField(null=True, blank=True)
    reference_logp = models.FloatField(null=True, blank=True)
    beta = models.FloatField(null=True, blank=True)
    token_count = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["round", "completion"], name="one_score_a_scorer"),
            models.CheckConstraint(
                condition=Q(logp=None, reference_logp=None, beta=None)
                | Q(logp__isnull=False, reference_logp__isnull=False, beta__isnull=False),
                name="implicit_rewards_are_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reward:+.2f} by round {self.round_id}"
