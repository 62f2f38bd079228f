"""Which completions meet, what raters say of them, and the pairs that follow."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

# The tables around the people, and of line-ups: Django looks for models in this module.
from annotate.models.content import Completion, Prompt
from annotate.models.projects import Project


class PairsFirst(models.TextChoices):
    """Which pairs come first. Its values are those of Comparison.picked."""

    CLOSE = "close", _("Hardly told apart")
    FAR = "far", _("Far apart")


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
        choices=PairsFirst,
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
            # sql.take_first: the open queue of a project in serving order
            models.Index(
                fields=["project", "-priority", "shuffle", "id"],
                condition=Q(state="open"),
                name="comparison_queue",
            ),
        ]

    def __str__(self) -> str:
        return f"comparison {self.pk}"


class JudgementQuerySet(models.QuerySet["Judgement"]):
    """Judgements by their status."""

    def standing(self) -> JudgementQuerySet:
        """Decided and not taken back; a skip is among them."""
        return self.filter(outcome__isnull=False, retracted_at=None)

    def counted(self) -> JudgementQuerySet:
        """What is counted everywhere: decided, neither skipped nor taken back."""
        return self.standing().exclude(outcome=Judgement.Outcome.SKIP)


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
    # index, however many there are. The indexes below begin with the rater: no other is needed.
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

    objects = JudgementQuerySet.as_manager()

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
            # sql.sides_of_rater: the sides of a rater's last cards
            models.Index(fields=["rater", "project", "-id", "swapped"], name="judgement_sides"),
            # history.last_verdicts: those that came too late
            models.Index(
                fields=["rater", "project", "decided_at"],
                condition=Q(is_late=True),
                name="judgement_late",
            ),
            # leases.release_expired
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
