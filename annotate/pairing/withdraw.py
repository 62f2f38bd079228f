"""Comparisons leave the queue with a policy that retires, and come back with it."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from annotate.models import Comparison, LineUp, Policy

State = Comparison.State


def withdraw_comparisons(*, policy: Policy) -> int:
    """Take what nobody has rated, or has on the screen, out of the queue. Returns how many.

    What it was compared with may meet another answer.
    """
    LineUp.objects.filter(
        completions__policy=policy, state=LineUp.State.OPEN, orders_taken=0
    ).update(state=LineUp.State.VOID)
    unrated = _of(policy).filter(state=State.OPEN, judgements_taken=0)
    return unrated.update(state=State.VOID, withdrawn_at=timezone.now())


def put_back_comparisons(*, policy: Policy) -> int:
    """Open again what was withdrawn, where both answers' policies are in the pool."""
    void = LineUp.objects.filter(completions__policy=policy, state=LineUp.State.VOID)
    still_void = void.filter(completions__policy__state=Policy.State.RETIRED)
    restorable = void.exclude(pk__in=still_void.values("pk"))
    LineUp.objects.filter(pk__in=list(restorable.values_list("pk", flat=True))).update(
        state=LineUp.State.OPEN
    )
    withdrawn = _of(policy).filter(state=State.VOID, withdrawn_at__isnull=False)
    in_pool = withdrawn.filter(
        a__policy__state__in=Policy.IN_POOL, b__policy__state__in=Policy.IN_POOL
    )
    comparisons = Comparison.objects.filter(pk__in=list(in_pool.values_list("pk", flat=True)))
    return comparisons.update(state=State.OPEN, withdrawn_at=None)


def _of(policy: Policy) -> QuerySet[Comparison]:
    """The comparisons of its completions; gold items, whose answer is known, apart."""
    return Comparison.objects.filter(
        Q(a__policy=policy) | Q(b__policy=policy), project=policy.project_id
    ).exclude(purpose=Comparison.Purpose.GOLD)
