"""Functions that make votes as rows, in one line each."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from annotate.models import Comparison, Judgement, Policy, Project, Prompt, User
from annotate.queue.settle import settle_comparison
from tests.factories import make_comparison, make_completion, make_prompt


def meet(
    project: Project, a: Policy, b: Policy, *, prompt: Prompt | None = None, **fields: object
) -> Comparison:
    """A comparison of new answers of two policies, with the texts ``text_a`` and ``text_b``."""
    prompt = prompt or make_prompt(project)
    texts = {side: str(fields.pop(f"text_{side}", "")) for side in ("a", "b")}
    return make_comparison(
        project,
        prompt=prompt,
        a=make_completion(prompt, a, texts["a"]),
        b=make_completion(prompt, b, texts["b"]),
        **fields,
    )


def judge(
    comparison: Comparison,
    rater: User,
    outcome: str,
    *,
    swapped: bool = False,
    at: datetime | None = None,
) -> Judgement:
    """Record a verdict, and settle the comparison."""
    at = at or timezone.now()
    made = Judgement.objects.create(
        project=comparison.project,
        comparison=comparison,
        rater=rater,
        swapped=swapped,
        outcome=outcome,
        served_at=at - timedelta(seconds=9),
        expires_at=at,
        decided_at=at,
    )
    Comparison.objects.filter(pk=comparison.pk).update(
        judgements_taken=comparison.judgements.count()
    )
    comparison.refresh_from_db()
    settle_comparison(comparison=comparison)
    return made


def vote(
    project: Project, a: Policy, b: Policy, rater: User, outcome: str, **fields: object
) -> None:
    """Two new answers, judged once."""
    swapped = bool(fields.pop("swapped", False))
    judge(meet(project, a, b, **fields), rater, outcome, swapped=swapped)
