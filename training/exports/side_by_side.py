"""Answers of two policies to the same held-out prompts, as texts to read and as measures."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

from annotate.content.screening import is_looping
from annotate.models import Completion, Policy
from training.stats.answer_measures import refuses
from training.stats.win_rates import WinRate

READ = 5
MEASURED = 1000
"""As many answers of each policy are measured, on prompts that both have answered."""


@dataclasses.dataclass(frozen=True)
class AnswerStyle:
    """How a policy writes: lengths in characters, shares of its answers."""

    policy: str
    answers: int
    length: float
    length_error: float | None
    """Half of the mean length's 95 % interval; None for fewer than two answers."""
    looping: WinRate
    refusing: WinRate
    cut_off: WinRate


def style_of(name: str, answers: Sequence[tuple[str, str]]) -> AnswerStyle | None:
    """Of (text, finish reason); None without answers."""
    if not answers:
        return None
    lengths = [len(text) for text, _reason in answers]
    error = None
    if len(lengths) > 1:
        error = 1.96 * statistics.stdev(lengths) / math.sqrt(len(lengths))
    return AnswerStyle(
        policy=name,
        answers=len(answers),
        length=statistics.fmean(lengths),
        length_error=error,
        looping=_share([is_looping(text) for text, _reason in answers]),
        refusing=_share([refuses(text) for text, _reason in answers]),
        cut_off=_share([reason == "length" for _text, reason in answers]),
    )


def styles(before: Policy, now: Policy) -> list[AnswerStyle]:
    """Of both, on held-out prompts that both have answered; empty where there are none."""
    manners = []
    for policy, other in ((before, now), (now, before)):
        rows = (
            Completion.objects.filter(policy=policy, prompt__is_held_out=True)
            .filter(prompt__completions__policy=other)
            .distinct()
            .order_by("pk")
            .values_list("pk", "text", "finish_reason")[:MEASURED]
        )
        manner = style_of(policy.slug, [(text, reason) for _pk, text, reason in rows])
        if manner is None:
            return []
        manners.append(manner)
    return manners


def answers(before: Policy, now: Policy, *, most: int = READ) -> list[dict[str, Completion]]:
    """Up to ``most`` held-out prompts that both have answered, with the first answer of each."""
    completions = (
        Completion.objects.filter(
            policy=now, prompt__is_held_out=True, prompt__completions__policy=before
        )
        .select_related("prompt")
        .order_by("prompt_id", "pk")
    )
    rows: dict[int, Completion] = {}
    for completion in completions[: 8 * most]:
        rows.setdefault(completion.prompt_id, completion)
    chosen = list(rows.values())[:most]
    others: dict[int, Completion] = {}
    for completion in Completion.objects.filter(
        policy=before, prompt__in=[completion.prompt_id for completion in chosen]
    ).order_by("pk"):
        others.setdefault(completion.prompt_id, completion)
    return [
        {"now": completion, "before": others[completion.prompt_id]}
        for completion in chosen
        if completion.prompt_id in others
    ]


def _share(flags: Sequence[bool]) -> WinRate:
    yes = sum(flags)
    return WinRate(yes, len(flags) - yes)
