"""Long lists of keys in pieces that any database takes as parameters of one statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MOST = 5_000


def pieces(keys: Iterable[int], most: int = MOST) -> Iterator[list[int]]:
    """The keys, ``most`` at a time."""
    rest = list(keys)
    for start in range(0, len(rest), most):
        yield rest[start : start + most]
