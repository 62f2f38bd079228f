"""Which answers had better meet, by numbers that somebody else knows: rules, and what they need.

A number stands for how good an answer is thought to be; what it comes from is not known here.
Two answers with close numbers are hard to tell apart, and a judgement of them teaches most; two
far apart show soonest where the numbers are wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from annotate.models import PairsFirst


class _Answer(Protocol):
    @property
    def pk(self) -> int: ...


AnyAnswer = TypeVar("AnyAnswer", bound=_Answer)


@dataclasses.dataclass(frozen=True)
class PairingPreference:
    """What pairing is asked to prefer.

    ``random_share`` of the prompts are paired without looking at numbers, so that something
    unbiased is left to measure by. ``rewards`` gives the numbers of completions by key, as far
    as there are any. ``waits``: an answer without one is not paired yet.
    """

    prefer: PairsFirst
    random_share: float
    rewards: Callable[[Collection[int]], Mapping[int, float]]
    waits: bool = False


def by_margin(
    rewards: Mapping[int, float], prefer: PairsFirst
) -> Callable[[Iterable[tuple[AnyAnswer, AnyAnswer]]], tuple[AnyAnswer, AnyAnswer] | None]:
    """Chooses the meeting whose numbers are closest or furthest apart.

    Where both numbers are known for none, the first meeting; None where there is none at all.
    """

    def choose(
        meetings: Iterable[tuple[AnyAnswer, AnyAnswer]],
    ) -> tuple[AnyAnswer, AnyAnswer] | None:
        first, best, distance = None, None, 0.0
        for one, other in meetings:
            if first is None:
                first = (one, other)
            if one.pk not in rewards or other.pk not in rewards:
                continue
            margin = abs(rewards[one.pk] - rewards[other.pk])
            if (
                best is None
                or (margin < distance and prefer == PairsFirst.CLOSE)
                or (margin > distance and prefer == PairsFirst.FAR)
            ):
                best, distance = (one, other), margin
        return best or first

    return choose


def places(margins: Sequence[float], prefer: PairsFirst) -> list[int]:
    """For each margin its place, from 0, when those that are preferred come first.

    Places and not margins decide the order in the queue, so that pairs chosen and pairs at random
    lie evenly mixed from its beginning to its end, whatever the numbers' scale.
    """
    order = sorted(
        range(len(margins)), key=lambda i: abs(margins[i]), reverse=prefer == PairsFirst.FAR
    )
    found = [0] * len(margins)
    for place, index in enumerate(order):
        found[index] = place
    return found
