"""Gold items: comparisons whose right outcome is known, served blindly among the others.

A gold comparison is a second row for the same two completions, of purpose gold. It is open and
wants more judgements than there can be raters, so it passes through serving, undo and late
verdicts like any card, and never settles; the database refuses a settled one. It stays out of
the ordinary queue, and out of the figures about policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from django.db import transaction
from django.db.models import Count, Exists, OuterRef
from django.utils import timezone

from annotate.models import Comparison, GoldItem, Judgement, PracticeAnswer, Project, User
from annotate.quality.items import set_aside, take_back

EVERYBODY = 32_767
"""As many judgements as the column can want: everybody's."""


def gold_due(*, project: Project, rater: User) -> int | None:
    """The gold comparison that is this rater's next card; None where an ordinary one is.

    On the average every ``project.gold_every``-th card is gold. The distance from one to the
    next varies by half of that either way, so that nobody can predict it.
    """
    every = project.gold_every
    if not every:
        return None
    recent = list(
        Judgement.objects.filter(project=project, rater=rater, retracted_at=None)
        .order_by("-pk")
        .values_list("pk", "comparison__purpose")[: every + every // 2]
    )
    since, last = len(recent), 0
    for place, (pk, purpose) in enumerate(recent):
        if purpose == Comparison.Purpose.GOLD:
            since, last = place, pk
            break
    if since < distance(every, seed=f"{project.pk} {rater.pk} {last}") - 1:
        return None
    return _unmet(project=project, rater=rater)


def distance(every: int, *, seed: str) -> int:
    """How many cards on the next gold one is: from half of ``every`` to half as much again."""
    low = max(1, every - every // 2)
    return Random(seed).randint(low, every + every // 2)


def _unmet(*, project: Project, rater: User) -> int | None:
    """A gold item that the rater has not met: not here, not as its source, not in practice."""
    judged = Judgement.objects.filter(rater=rater)
    practised = PracticeAnswer.objects.filter(
        user=rater, item__comparison__a=OuterRef("comparison__a")
    ).filter(item__comparison__b=OuterRef("comparison__b"))
    return (
        GoldItem.objects.filter(
            ~Exists(judged.filter(comparison=OuterRef("comparison"))),
            ~Exists(judged.filter(comparison=OuterRef("source"), outcome__isnull=False)),
            ~Exists(practised),
            project=project,
            retired_at=None,
        )
        .exclude(created_by=rater)  # who knows the answer
        .order_by("comparison__shuffle", "pk")
        .values_list("comparison_id", flat=True)
        .first()
    )


# --- what managers do ---


@transaction.atomic
def make_gold_item(*, comparison: Comparison, expected: Sequence[str], by: User) -> GoldItem:
    """Make gold of ``comparison``, or change what is expected there.

    Where it was still open it leaves the ordinary queue.
    """
    gold_comparison, _ = Comparison.objects.get_or_create(
        a=comparison.a,
        b=comparison.b,
        purpose=Comparison.Purpose.GOLD,
        defaults={
            "project": comparison.project,
            "prompt": comparison.prompt,
            "shuffle": comparison.shuffle,
            "judgements_wanted": EVERYBODY,
        },
    )
    Comparison.objects.filter(pk=gold_comparison.pk, state=Comparison.State.VOID).update(
        state=Comparison.State.OPEN
    )
    item, is_new = GoldItem.objects.get_or_create(
        comparison=gold_comparison,
        defaults={
            "project": comparison.project,
            "source": comparison,
            "expected": list(expected),
            "created_by": by,
        },
    )
    if not is_new:
        item.expected = list(expected)
        item.retired_at = None
        item.save(update_fields=["expected", "retired_at"])
    set_aside(item.source)
    return item


@transaction.atomic
def retire_gold_item(*, item: GoldItem) -> None:
    """Stop serving it; its judgements are kept."""
    item.retired_at = timezone.now()
    item.save(update_fields=["retired_at"])
    set_aside(item.comparison)
    take_back(item.source)


# --- how well raters do ---


def gold_accuracy(project: Project) -> dict[int, tuple[int, int]]:
    """For every rater (by pk) who met gold: how many were right, of how many judged.

    Skipped ones are not counted; an item that was retired since still is.
    """
    expected = dict(GoldItem.objects.filter(project=project).values_list("comparison", "expected"))
    rows = (
        Judgement.objects.counted()
        .filter(project=project, comparison__purpose=Comparison.Purpose.GOLD)
        .values_list("rater", "comparison", "outcome")
        .annotate(count=Count("pk"))
    )
    accuracy: dict[int, tuple[int, int]] = {}
    for rater, comparison, outcome, count in rows:
        right, judged = accuracy.get(rater, (0, 0))
        hit = count if outcome in expected.get(comparison, ()) else 0
        accuracy[rater] = (right + hit, judged + count)
    return accuracy
