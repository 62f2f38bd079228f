"""The training side's tables. A row is the job; the Celery message is only a nudge."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from annotate.models import Policy, PreferencePair, Project
from training import artifacts
from training.endpoints.models import Endpoint, Usage


class LoopSettings(models.Model):
    """How a project's loop turns by itself, and with what."""

    class StartFrom(models.TextChoices):
        BASE = "base", _("the base model")
        CHAMPION = "champion", _("the champion")
        LATEST = "latest", _("the latest round's policy")

    class QueueUnit(models.TextChoices):
        COMPARISONS = "comparisons", _("comparisons")
        MINUTES = "minutes", _("minutes at the present pace")

    class Promotion(models.TextChoices):
        BUTTON = "button", _("a manager, by a button")
        AUTOMATIC = "automatic", _("the gate, by itself")

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
        null=True, blank=True, help_text="Days, times and their zone, as in training.windows."
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
        ANY = "any", _("whichever come")
        CLOSE = "close", _("those that a reward can hardly tell apart")
        FAR = "far", _("those that a reward finds furthest apart")

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
    round_recipe = models.JSONField(
        default=dict, blank=True, help_text="Kind, reference, pairs: as in training.recipes."
    )

    class Meta:
        verbose_name_plural = "loop settings"

    def __str__(self) -> str:
        return f"loop of {self.project}"


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
        PLAN = "plan", _("the time plan")

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


class Machine(models.Model):
    """What a worker's machine said of itself when its engine last ran."""

    name = models.CharField(max_length=200, unique=True)
    report = models.JSONField(help_text="As the engine writes it to machine.json.")
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-seen_at"]

    def __str__(self) -> str:
        return self.name


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


class Reign(models.Model):
    """One stretch of time for which a policy was the champion. The one without an end is now."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="reigns")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="reigns")
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
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["project"], condition=Q(ended_at=None), name="one_reign_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} since {self.began_at:%Y-%m-%d}"


# Tables of their own packages: Django looks for models in this module.
from training.afterwards import models as afterwards  # noqa: E402, F401
from training.notices import models as notices  # noqa: E402, F401
from training.playground import models as playground  # noqa: E402, F401

# And those of the rewards.
from training.rewards import models as rewards  # noqa: E402, F401
