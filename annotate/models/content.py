"""What is compared: prompts, the policies that answer them, and their completions."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

# The tables around the people, and of line-ups: Django looks for models in this module.
from annotate.models.projects import Project

Message = dict[str, str]
"""One chat message: ``role`` (system, user or assistant) and ``content``."""


class ScreeningRule(models.TextChoices):
    """Why a completion is kept out of comparisons."""

    EMPTY = "empty", _("Empty")
    CUT_OFF = "cut_off", _("Cut off")
    LOOPING = "looping", _("Looping")
    IDENTITY = "identity", _("Gives itself away")
    SAME = "same", _("Same as another")


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
    is_sampled = models.BooleanField(
        default=True,
        help_text="Whether the pool answers it; those of imported pairs wait for a manager.",
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
        null=True, blank=True, help_text="It is the best of this many answers by its parent."
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
        choices=ScreeningRule,
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
