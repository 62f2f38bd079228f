"""Which pairs a round trains on, and how much each weighs. Pure; knows no database.

A project's own filter (tags, agreement, dates, policies) holds for all pairs. Age is about what is
trained on alone: held-out pairs that pass the filter are all kept, at their own weight, so that
rounds are measured by the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Literal

from django.utils import timezone

Unit = Literal["rounds", "days"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairSelection:
    """What is asked for. The default is all pairs at their own weight.

    ``half_life``: a pair weighs half after this many rounds or days. ``last_rounds``: only pairs
    that came in this many last rounds (1: since the last one), and of the older ones as many as
    make up ``replay_share`` of all.
    """

    half_life: float | None = None
    half_life_unit: Unit = "rounds"
    last_rounds: int | None = None
    replay_share: float = 0.0
    tags: tuple[str, ...] = ()
    min_agreement: float = 0.0
    since: date | None = None
    until: date | None = None
    policies: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        return self == ALL

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; what is as usual is left out."""
        usual = ALL
        changed = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(usual, field.name)
        }
        return {
            name: value.isoformat()
            if isinstance(value, date)
            else list(value)
            if isinstance(value, tuple)
            else value
            for name, value in changed.items()
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PairSelection:
        values = dict(data)
        for name in ("since", "until"):
            if values.get(name):
                values[name] = date.fromisoformat(values[name])
        for name in ("tags", "policies"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)


ALL = PairSelection()


@dataclasses.dataclass(frozen=True)
class SelectablePair:
    """What a selection must know of a pair."""

    pk: int
    created_at: datetime
    is_held_out: bool = False
    agreement: float = 1.0
    tags: Sequence[str] = ()
    policies: Sequence[str] = ()
    """Who wrote the two answers."""


def choose(
    pairs: Iterable[SelectablePair],
    selection: PairSelection,
    *,
    rounds_at: Sequence[datetime],
    now: datetime,
    seed: int,
) -> dict[int, float]:
    """The pairs that are taken, each with what its own weight is multiplied by.

    ``rounds_at``: when the rounds that succeeded were started, in order. ``seed`` draws the older
    pairs: the same seed draws the same.
    """
    passed = [pair for pair in pairs if passes(pair, selection)]
    train = [pair for pair in passed if not pair.is_held_out]
    chosen = {pair.pk: 1.0 for pair in passed if pair.is_held_out}
    ages = {pair.pk: rounds_since(pair.created_at, rounds_at) for pair in train}
    if selection.last_rounds is not None:
        recent = [pair for pair in train if ages[pair.pk] < selection.last_rounds]
        older = [pair for pair in train if ages[pair.pk] >= selection.last_rounds]
        train = recent + _replayed(older, len(recent), selection.replay_share, seed)
    for pair in train:
        days = (now - pair.created_at).total_seconds() / 86_400
        age = days if selection.half_life_unit == "days" else float(ages[pair.pk])
        chosen[pair.pk] = faded(age, selection.half_life)
    return chosen


def passes(pair: SelectablePair, selection: PairSelection) -> bool:
    """Whether a pair passes the project's own filter, whatever its age."""
    day = timezone.localdate(pair.created_at)
    return (
        pair.agreement >= selection.min_agreement
        and (selection.since is None or day >= selection.since)
        and (selection.until is None or day <= selection.until)
        and (not selection.tags or bool(set(selection.tags) & set(pair.tags)))
        and (not selection.policies or bool(set(selection.policies) & set(pair.policies)))
    )


def rounds_since(moment: datetime, rounds_at: Sequence[datetime]) -> int:
    """How many of the rounds (in order) were started after ``moment``: 0 is new."""
    return len(rounds_at) - bisect_right(rounds_at, moment)


def faded(age: float, half_life: float | None) -> float:
    """What is left of a weight at ``age``, both in the same unit."""
    return round(0.5 ** (max(0.0, age) / half_life), 6) if half_life else 1.0


def _replayed(
    older: Sequence[SelectablePair], recent: int, share: float, seed: int
) -> list[SelectablePair]:
    """As many of the older pairs as make up ``share`` of all, drawn by ``seed``."""
    if not share or not recent:
        return []
    wanted = round(recent * share / (1 - share))

    def draw(pair: SelectablePair) -> bytes:
        return hashlib.sha256(f"{seed} {pair.pk}".encode()).digest()

    return sorted(older, key=draw)[:wanted]
