"""Practice items and gold items: comparisons whose answer is known."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

# The tables around the people, and of line-ups: Django looks for models in this module.


class PracticeItem(models.Model):
    """A comparison to learn on: what may be chosen, and what is said afterwards.

    ``expected`` is in the comparison's own terms, as a judgement's outcome is.
    """

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="practice_items")
    comparison = models.OneToOneField(
        "annotate.Comparison", models.PROTECT, related_name="practice_item"
    )
    expected = models.JSONField()
    feedback = models.TextField(help_text="Markdown, shown after the answer.")
    position = models.PositiveSmallIntegerField(default=0)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(expected=[]), name="practice_expects_something"),
        ]

    def __str__(self) -> str:
        return f"practice item {self.pk}"


class PracticeAnswer(models.Model):
    """What a person chose on a practice item. Nothing is trained on it."""

    item = models.ForeignKey(PracticeItem, models.CASCADE, related_name="answers")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="practice")
    attempt = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=10)
    is_right = models.BooleanField()
    answered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["item", "user", "attempt"], name="one_practice_answer_an_attempt"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.item}"


class GoldItem(models.Model):
    """A comparison whose right outcome is known, served among the others to everybody once.

    ``comparison`` is of purpose gold, open, and wants more judgements than there are raters: it
    never settles. ``source`` is the one that it was made from.
    """

    project = models.ForeignKey("annotate.Project", models.CASCADE, related_name="gold_items")
    comparison = models.OneToOneField(
        "annotate.Comparison", models.PROTECT, related_name="gold_item"
    )
    source = models.ForeignKey("annotate.Comparison", models.PROTECT, related_name="gold_twins")
    expected = models.JSONField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(expected=[]), name="gold_expects_something"),
        ]

    def __str__(self) -> str:
        return f"gold item {self.pk}"
