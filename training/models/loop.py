"""How a project's loop turns by itself, and with what."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from annotate.models import Project


class LoopSettings(models.Model):
    """How a project's loop turns by itself, and with what."""

    class StartFrom(models.TextChoices):
        BASE = "base", _("the base model")
        CHAMPION = "champion", _("the champion")
        LATEST = "latest", _("the latest round's policy")

    class QueueUnit(models.TextChoices):
        COMPARISONS = "comparisons", _("comparisons")
        MINUTES = "minutes", _("minutes at the current rate")

    class Promotion(models.TextChoices):
        BUTTON = "button", _("a manager's button")
        AUTOMATIC = "automatic", _("the gate, automatically")

    project = models.OneToOneField(Project, models.CASCADE, related_name="loop")
    base_model = models.CharField(
        max_length=500, blank=True, help_text="A Hugging Face model by hub name or local path."
    )
    base_revision = models.CharField(max_length=100, blank=True)
    completions_per_prompt = models.PositiveSmallIntegerField(
        default=2, validators=[MinValueValidator(1), MaxValueValidator(32)]
    )
    temperature = models.FloatField(default=1.0, validators=[MinValueValidator(0.0)])
    top_p = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.01), MaxValueValidator(1.0)]
    )
    top_k = models.PositiveIntegerField(default=0, help_text="0 means all tokens.")
    max_new_tokens = models.PositiveIntegerField(default=512, validators=[MinValueValidator(1)])
    queue_level = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text="How full the queue of open comparisons is kept; empty: all is written at once.",
    )
    queue_unit = models.CharField(max_length=12, choices=QueueUnit, default=QueueUnit.COMPARISONS)
    min_p = models.FloatField(
        default=0.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    repetition_penalty = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.5), MaxValueValidator(5.0)]
    )
    stop_sequences = models.JSONField(
        default=list, blank=True, help_text="A list of texts before which a completion ends."
    )
    round_after_pairs = models.PositiveIntegerField(
        null=True, blank=True, help_text="Start a round after this many new pairs."
    )
    round_after_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Start a round this long after the last one, if any is new.",
    )
    round_plan = models.JSONField(
        null=True,
        blank=True,
        help_text="Days, times and their zone.",
    )
    round_plan_since = models.DateTimeField(
        null=True, blank=True, help_text="The plan's times before this do not count."
    )
    round_needs_all = models.BooleanField(
        default=False, help_text="All of what is named must call for a round, not any one of it."
    )
    gold_floor = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    agreement_floor = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    round_needs_decision = models.BooleanField(default=False)
    start_from = models.CharField(max_length=10, choices=StartFrom, default=StartFrom.LATEST)

    class Meeting(models.TextChoices):
        ANY = "any", _("in any order")
        CLOSE = "close", _("answers with close rewards")
        FAR = "far", _("answers with rewards far apart")

    score_new = models.BooleanField(
        default=False, help_text="New completions get a reward without being asked."
    )
    meeting = models.CharField(max_length=5, choices=Meeting, default=Meeting.ANY)
    meeting_at_random = models.PositiveSmallIntegerField(
        default=30,
        validators=[MinValueValidator(10), MaxValueValidator(100)],
        help_text="Per cent of the comparisons that are put together without looking at rewards.",
    )
    promotion = models.CharField(max_length=10, choices=Promotion, default=Promotion.BUTTON)
    gate_votes = models.PositiveIntegerField(
        default=400,
        validators=[MinValueValidator(20), MaxValueValidator(10_000)],
        help_text="Settled meetings that a gate waits for at most.",
    )
    round_config = models.JSONField(
        default=dict, blank=True, help_text="Fields of a DPO job that differ from the defaults."
    )
    round_recipe = models.JSONField(default=dict, blank=True, help_text="Kind, reference, pairs.")

    class Meta:
        verbose_name_plural = "loop settings"

    def __str__(self) -> str:
        return f"loop of {self.project}"


def loop_of(project: Project) -> LoopSettings:
    """The project's loop settings, made with defaults where there are none yet."""
    return LoopSettings.objects.get_or_create(project=project)[0]
