"""The annotation side's tables, with the rules that the database itself holds."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from annotate.screening import Rule
from annotate.selecting import Preferred

Message = dict[str, str]
"""One chat message: ``role`` (system, user or assistant) and ``content``."""


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
    # Both as the newest ProjectText says; annotate.texts.write is the one that writes them.
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
    screening = models.JSONField(
        default=dict, blank=True, help_text="Which completions are kept out; annotate.screening."
    )
    is_paused = models.BooleanField(default=False)
    gold_every = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(1000)],
        help_text="About every so many cards a rater gets a gold one; 0: never.",
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
        help_text="So many answers are put into an order at once; 0: they are compared in pairs.",
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


class Prompt(models.Model):
    """A conversation that awaits an assistant turn."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompts")
    messages = models.JSONField(help_text="Chat messages, the last one from the user.")
    html = models.JSONField(
        default=list, editable=False, help_text="Each message's text, made safe once."
    )
    html_version = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Of the renderer that made the HTML."
    )
    digest = models.CharField(max_length=64, editable=False)
    source = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=list, blank=True)
    details = models.JSONField(default=dict, blank=True, help_text="Whatever else came with it.")
    is_held_out = models.BooleanField(
        editable=False, help_text="Decided by the digest; never trained on."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "digest"], name="one_prompt_a_digest"),
        ]

    def __str__(self) -> str:
        return str(self.messages[-1]["content"])[:80]


class Policy(models.Model):
    """A named source of completions."""

    class Kind(models.TextChoices):
        BASE = "base", _("Base model")
        ADAPTER = "adapter", _("Base model with an adapter")
        ENDPOINT = "endpoint", _("OpenAI-compatible endpoint")
        IMPORT = "import", _("Imported completions")
        PEOPLE = "people", _("Answers that raters wrote")
        BEST_OF = "best_of", _("The best of several answers")

    class State(models.TextChoices):
        CANDIDATE = "candidate", _("Candidate")
        ACTIVE = "active", _("Active")
        CHAMPION = "champion", _("Champion")
        RETIRED = "retired", _("Retired")

    IN_POOL = (State.CANDIDATE, State.ACTIVE, State.CHAMPION)

    project = models.ForeignKey(Project, models.CASCADE, related_name="policies")
    slug = models.SlugField(max_length=80)
    kind = models.CharField(max_length=10, choices=Kind)
    base_model = models.CharField(max_length=500, blank=True, help_text="Hub name or local path.")
    base_revision = models.CharField(max_length=100, blank=True)
    adapter_path = models.CharField(max_length=500, blank=True)
    endpoint = models.URLField(max_length=500, blank=True)
    parent = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="children"
    )
    best_of = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Of so many answers by its parent it keeps the best."
    )
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.0)])
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(fields=["project", "slug"], name="one_policy_a_slug"),
            models.UniqueConstraint(
                fields=["project"], condition=Q(state="champion"), name="one_champion_a_project"
            ),
            models.CheckConstraint(
                condition=Q(kind="best_of", best_of__gte=2, parent__isnull=False)
                | (~Q(kind="best_of") & Q(best_of=None)),
                name="best_of_several",
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def is_in_pool(self) -> bool:
        return self.state in self.IN_POOL


class Completion(models.Model):
    """One answer by one policy to one prompt, with everything needed to write it again."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="completions")
    policy = models.ForeignKey(Policy, models.PROTECT, related_name="completions")
    text = models.TextField(blank=True)
    html = models.TextField(blank=True, editable=False, help_text="Made safe once, when stored.")
    html_version = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Of the renderer that made the HTML."
    )
    seed = models.BigIntegerField(default=0)
    sampling = models.JSONField(default=dict, blank=True)
    sampling_digest = models.CharField(max_length=64, editable=False)
    finish_reason = models.CharField(max_length=20, blank=True)
    token_count = models.PositiveIntegerField(null=True, blank=True)
    logprob = models.FloatField(null=True, blank=True)
    rejected_for = models.CharField(
        max_length=10,
        choices=Rule,
        blank=True,
        editable=False,
        help_text="The rule that keeps it out of comparisons.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["prompt", "policy", "seed", "sampling_digest"],
                name="one_completion_a_draw",
            ),
        ]
        indexes = [
            # screening's counts: what was kept out, by policy
            models.Index(
                fields=["policy", "rejected_for"],
                condition=~Q(rejected_for=""),
                name="completions_kept_out",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class Comparison(models.Model):
    """Two completions of one prompt, waiting for judgements."""

    class Purpose(models.TextChoices):
        NORMAL = "normal", "Normal"
        GOLD = "gold", "Gold"
        REPEAT = "repeat", "Repeat"
        GATE = "gate", "Gate"
        LINE_UP = "line_up", "Line-up"

    class State(models.TextChoices):
        OPEN = "open", _("Open")
        SETTLED = "settled", _("Settled")
        VOID = "void", _("Withdrawn")

    class Result(models.TextChoices):
        PAIR = "pair", _("Preference pair")
        TIE = "tie", _("Tie")
        BOTH_BAD = "both_bad", _("Both bad")
        NO_MAJORITY = "no_majority", _("No majority")

    project = models.ForeignKey(Project, models.CASCADE, related_name="comparisons")
    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="comparisons")
    a = models.ForeignKey(Completion, models.PROTECT, related_name="comparisons_as_a")
    b = models.ForeignKey(Completion, models.PROTECT, related_name="comparisons_as_b")
    purpose = models.CharField(max_length=10, choices=Purpose, default=Purpose.NORMAL)
    priority = models.IntegerField(default=0, help_text="Higher ones are served first.")
    shuffle = models.PositiveIntegerField(editable=False, help_text="Random order in the queue.")
    picked = models.CharField(
        max_length=5,
        choices=Preferred,
        blank=True,
        editable=False,
        help_text="How a reward chose its two answers; empty: none was asked.",
    )
    judgements_wanted = models.PositiveSmallIntegerField(default=1)
    judgements_taken = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    result = models.CharField(max_length=12, choices=Result, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    withdrawn_at = models.DateTimeField(
        null=True, blank=True, help_text="When it left the queue with a policy that retired."
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(a=F("b")), name="comparison_of_two"),
            models.UniqueConstraint(fields=["a", "b", "purpose"], name="one_comparison_a_purpose"),
            models.CheckConstraint(
                condition=Q(judgements_taken__lte=F("judgements_wanted")),
                name="no_more_judgements_than_wanted",
            ),
            models.CheckConstraint(
                condition=Q(judgements_wanted__gte=1), name="some_judgement_wanted"
            ),
            models.CheckConstraint(
                condition=~Q(purpose="gold", state="settled"), name="gold_never_settles"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | Q(state="void"), name="withdrawn_is_void"
            ),
            models.CheckConstraint(
                condition=(Q(state="settled") & ~Q(result=""))
                | (~Q(state="settled") & Q(result="")),
                name="settled_with_a_result",
            ),
        ]
        indexes = [
            # serving.serve_next: the open queue of a project in serving order
            models.Index(
                fields=["project", "-priority", "shuffle", "id"],
                condition=Q(state="open"),
                name="comparison_queue",
            ),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"


class Judgement(models.Model):
    """One rater's verdict on one comparison, from the moment the card is served.

    ``outcome``, ``criteria`` and ``edited_from`` are in the comparison's own terms: "a" means
    completion ``a``, on whichever side of the screen it stood (``swapped``: ``b`` stood on the
    left). What counts is decided and not retracted. A change is a new row that ``replaces`` the
    old one, which is kept as retracted.
    """

    class Outcome(models.TextChoices):
        A = "a", _("A is better")
        B = "b", _("B is better")
        TIE = "tie", _("Tie")
        BOTH_BAD = "both_bad", _("Both are bad")
        SKIP = "skip", _("Skipped")

    class Strength(models.IntegerChoices):
        SLIGHTLY = 1, _("Slightly better")
        MUCH = 2, _("Much better")

    class Flag(models.TextChoices):
        UNSAFE = "unsafe", _("Unsafe")
        PERSONAL_DATA = "personal_data", _("Personal data")
        BROKEN = "broken", _("Broken")
        CANNOT_JUDGE = "cannot_judge", _("I cannot judge this")

    code = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # The project is the comparison's: kept here too, so that a rater's own rows are found in an
    # index, however many there are. The indexes below begin with the rater: none is needed alone.
    project = models.ForeignKey(
        Project, models.CASCADE, related_name="judgements", db_index=False, editable=False
    )
    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="judgements")
    rater = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="judgements", db_index=False
    )
    swapped = models.BooleanField()
    outcome = models.CharField(max_length=10, choices=Outcome, null=True, blank=True)
    strength = models.PositiveSmallIntegerField(choices=Strength, null=True, blank=True)
    criteria = models.JSONField(
        default=dict, blank=True, help_text='"a", "b" or "tie" for each criterion\'s key.'
    )
    reason = models.TextField(blank=True)
    reason_tags = models.JSONField(default=list, blank=True)
    flags = models.JSONField(default=list, blank=True)
    edited_text = models.TextField(blank=True)
    edited_from = models.CharField(max_length=1, blank=True, choices=[("a", "A"), ("b", "B")])
    demonstration = models.ForeignKey(
        Completion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="written_in",
        help_text="The edited text as an answer of its own.",
    )
    replaces = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="replacements"
    )
    served_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="When an expired lease gave its slot back."
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    retracted_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it does not count."
    )
    is_late = models.BooleanField(
        default=False, help_text="Decided after others had finished: kept, and never counted."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "rater"],
                condition=Q(retracted_at=None),
                name="one_judgement_a_rater",
            ),
            models.CheckConstraint(
                condition=Q(outcome=None, decided_at=None)
                | Q(outcome__isnull=False, decided_at__isnull=False),
                name="decided_with_an_outcome",
            ),
            models.CheckConstraint(
                condition=Q(is_late=False)
                | Q(decided_at__isnull=False, retracted_at__isnull=False),
                name="late_is_decided_and_uncounted",
            ),
        ]
        indexes = [
            # the cards that a rater holds, the last verdicts, the number of today's
            models.Index(
                fields=["rater", "project", "retracted_at", "decided_at", "outcome"],
                name="judgement_by_rater",
            ),
            # serving.cards: the sides of a rater's last cards
            models.Index(fields=["rater", "project", "-id", "swapped"], name="judgement_sides"),
            # history: what came too late
            models.Index(
                fields=["rater", "project", "decided_at"],
                condition=Q(is_late=True),
                name="judgement_late",
            ),
            # serving.release_expired
            models.Index(
                fields=["expires_at"],
                condition=Q(outcome=None, released_at=None, retracted_at=None),
                name="judgement_leases",
            ),
        ]

    def __str__(self) -> str:
        return f"judgement {self.code}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.project_id is None:
            self.project_id = self.comparison.project_id
        super().save(*args, **kwargs)


class PreferencePair(models.Model):
    """Chosen and rejected, settled from the judgements of one comparison.

    The votes make at most one pair. An answer that a rater wrote in a verdict that counts is
    preferred to both of the comparison's: these pairs, of kind "edit", name that judgement.
    """

    class Kind(models.TextChoices):
        VOTE = "vote", "Votes"
        EDIT = "edit", "An edited answer"

    comparison = models.ForeignKey(Comparison, models.PROTECT, related_name="pairs")
    kind = models.CharField(max_length=4, choices=Kind, default=Kind.VOTE)
    judgement = models.ForeignKey(
        Judgement, models.PROTECT, null=True, blank=True, related_name="pairs"
    )
    chosen = models.ForeignKey(Completion, models.PROTECT, related_name="chosen_in")
    rejected = models.ForeignKey(Completion, models.PROTECT, related_name="rejected_in")
    weight = models.FloatField(validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    agreement = models.FloatField(help_text="Share of the votes that went to the chosen one.")
    created_at = models.DateTimeField(auto_now_add=True)
    frozen_at = models.DateTimeField(
        null=True, blank=True, help_text="When a snapshot first took it; no undo after that."
    )
    withdrawn_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When a rater took their judgements back; no later snapshot has it.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(chosen=F("rejected")), name="pair_of_two"),
            models.UniqueConstraint(
                fields=["comparison"], condition=Q(kind="vote"), name="one_voted_pair_a_comparison"
            ),
            models.UniqueConstraint(
                fields=["judgement", "rejected"], name="one_pair_an_edit_and_answer"
            ),
            models.CheckConstraint(
                condition=Q(kind="vote", judgement=None) | Q(kind="edit", judgement__isnull=False),
                name="edits_name_their_judgement",
            ),
        ]

    def __str__(self) -> str:
        return f"pair {self.pk}"


# The tables around the people, and of line-ups: Django looks for models in this module.
from annotate import line_ups as line_ups  # noqa: E402
from annotate import people as people  # noqa: E402
