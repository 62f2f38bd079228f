"""How full the raters' queue is kept, and what is written to fill it. Knows no database."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil, comb

REFILL_BELOW = 0.75
"""Of the level: not every vote may start an engine."""

AT_LEAST = 20
"""Comparisons that are kept ready whatever the pace: somebody may begin."""

MOST_ANSWERS = 200
"""The pool writes no more to one prompt: where nearly all is kept out, more of it is no help."""

PlannedDraw = tuple[int, int, int]
"""Prompt, policy, and which of the policy's answers to that prompt, counted from 0."""


def comparisons_for(*, minutes: int, judgements: int, over_minutes: float, wanted: int) -> int:
    """How many comparisons last ``minutes`` at the pace of ``judgements`` in ``over_minutes``.

    ``wanted``: the judgements that each comparison gets.
    """
    pace = judgements / over_minutes / max(1, wanted)
    return max(AT_LEAST, round(pace * minutes))


def shortfall(*, ready: int, level: int) -> int:
    """How many comparisons to add; none while the queue is fuller than REFILL_BELOW."""
    return level - ready if ready < REFILL_BELOW * level else 0


def plan_draws(
    *,
    count: int,
    prompts: Sequence[int],
    weights: Mapping[int, float],
    written: Mapping[tuple[int, int], int],
    choose: random.Random,
    together: int = 2,
    own_share: float = 0.0,
) -> list[PlannedDraw]:
    """The draws for ``count`` comparisons: ``together`` answers to a prompt, all pairs of which
    are compared (two, or as many as a line-up has).

    Prompts that the pool has answered least come first, equal ones in random order; when all
    have had their turn they come again, up to MOST_ANSWERS. The answers are by different policies
    as far as there are enough, drawn with their weights; two by the same one in ``own_share`` of
    the prompts.
    ``written``: by (prompt, policy), the number after its last draw.
    """
    policies = [policy for policy, weight in weights.items() if weight > 0]
    if not (policies and prompts and count > 0):
        return []
    shares = [weights[policy] for policy in policies]
    answers: Counter[int] = Counter()
    for (prompt, policy), number in written.items():
        if policy in weights:
            answers[prompt] += number
    next_number = Counter(written)
    draws: list[PlannedDraw] = []
    open_ones = [prompt for prompt in prompts if answers[prompt] < MOST_ANSWERS]
    order = sorted(open_ones, key=lambda prompt: (answers[prompt], choose.random()))
    for place in range(ceil(count / comb(together, 2)) if order else 0):
        prompt = order[place % len(order)]
        for policy in _writers(policies, shares, together, own_share, choose):
            draws.append((prompt, policy, next_number[prompt, policy]))
            next_number[prompt, policy] += 1
    return draws


def _writers(
    policies: Sequence[int],
    shares: Sequence[float],
    together: int,
    own_share: float,
    choose: random.Random,
) -> list[int]:
    """Who writes the answers to one prompt."""
    if together == 2 and choose.random() < own_share:
        return choose.choices(policies, shares) * 2
    left = dict(zip(policies, shares, strict=True))
    writers: list[int] = []
    while len(writers) < together:
        if not left:
            left = dict(zip(policies, shares, strict=True))
        (policy,) = choose.choices(list(left), list(left.values()))
        writers.append(policy)
        del left[policy]
    return writers
