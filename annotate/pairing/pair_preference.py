"""Which answers are best paired, by numbers from elsewhere: the rules, and what they need.

A number stands for how good an answer is thought to be; where it comes from does not matter here.
Two answers with close numbers are hard to tell apart, so a judgement of them teaches most; two
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
    """Chooses the pair whose numbers are closest or furthest apart.

    Where no pair has both numbers, the first pair; None where there is none at all.
    """

    def choose(
        meetings: Iterable[tuple[AnyAnswer, AnyAnswer]],
    ) -> tuple[AnyAnswer, AnyAnswer] | None:
        first, best, distance = None, None, 0.0
        for a, b in meetings:
            if first is None:
                first = (a, b)
            if a.pk not in rewards or b.pk not in rewards:
                continue
            margin = abs(rewards[a.pk] - rewards[b.pk])
            if (
                best is None
                or (margin < distance and prefer == PairsFirst.CLOSE)
                or (margin > distance and prefer == PairsFirst.FAR)
            ):
                best, distance = (a, b), margin
        return best or first

    return choose


def places(margins: Sequence[float], prefer: PairsFirst) -> list[int]:
    """For each margin its place, from 0, when those that are preferred come first.

    Places and not margins decide the order in the queue, so that pairs chosen and pairs at random
    are evenly mixed from beginning to end, whatever the numbers' scale.
    """
    order = sorted(
        range(len(margins)), key=lambda i: abs(margins[i]), reverse=prefer == PairsFirst.FAR
    )
    place_by_index = [0] * len(margins)
    for place, index in enumerate(order):
        place_by_index[index] = place
    return place_by_index
