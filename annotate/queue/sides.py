"""Which completion stands on the left. Drawn on the server, kept with the judgement."""

from __future__ import annotations

from random import Random

BIAS = 2 / 3
"""Chance of the side that is behind: Efron's biased coin (Biometrika 58, 1971)."""


def draw_swapped(*, swapped: int, straight: int, random: Random) -> bool:
    """Whether ``b`` is to stand on the left, given how often it did and did not before.

    Fair while both counts are equal; otherwise the side that is behind is likelier, which
    keeps the counts together without making the next draw certain.
    """
    if swapped == straight:
        return random.random() < 0.5
    return random.random() < (BIAS if swapped < straight else 1 - BIAS)
