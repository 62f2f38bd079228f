"""Shares of wins and how sure they are. Pure functions; knows no database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import cached_property

CONFIDENCE = 0.95
THIN = "\N{NARROW NO-BREAK SPACE}"


@dataclasses.dataclass(frozen=True)
class WinRate:
    """How often one side won. Ties and "both bad" are counted apart and belong to neither."""

    wins: int
    losses: int
    undecided: int = 0

    def __add__(self, other: WinRate) -> WinRate:
        return WinRate(
            self.wins + other.wins, self.losses + other.losses, self.undecided + other.undecided
        )

    @property
    def decided(self) -> int:
        return self.wins + self.losses

    @property
    def value(self) -> float | None:
        """Wins as a share of the decided; None where nothing is decided."""
        return self.wins / self.decided if self.decided else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's score interval at 95 % (Wilson 1927); None where nothing is decided."""
        if not self.decided:
            return None
        from scipy.stats import binomtest  # slow to import, and only managers' pages need it

        limits = binomtest(self.wins, self.decided).proportion_ci(CONFIDENCE, method="wilson")
        return float(limits.low), float(limits.high)

    @property
    def verdict(self) -> str:
        """ "won" or "lost" where the whole interval is on one side of a half, else "open"."""
        if self.interval is None:
            return "open"
        low, high = self.interval
        return "won" if low > 0.5 else "lost" if high < 0.5 else "open"


@dataclasses.dataclass(frozen=True)
class HeadToHeadCount:
    """How many judgements of ``a`` against ``b`` ended in ``outcome`` (of Judgement.Outcome)."""

    a: int
    b: int
    is_held_out: bool
    outcome: str
    count: int


def win_rate_of(
    policy: int,
    bouts: Iterable[HeadToHeadCount],
    *,
    against: int | None = None,
    held_out: bool = False,
) -> WinRate:
    """The share of wins of ``policy`` (a key) over all others, or over ``against`` alone.

    ``held_out`` counts only prompts that no round trains on. A policy's meetings with itself
    say nothing and do not count.
    """
    total = WinRate(0, 0)
    for bout in bouts:
        if held_out and not bout.is_held_out:
            continue
        if bout.a == bout.b or policy not in (bout.a, bout.b):
            continue
        opponent = bout.b if bout.a == policy else bout.a
        if against is not None and opponent != against:
            continue
        own = "a" if bout.a == policy else "b"
        if bout.outcome not in ("a", "b"):
            total += WinRate(0, 0, bout.count)
        elif bout.outcome == own:
            total += WinRate(bout.count, 0)
        else:
            total += WinRate(0, bout.count)
    return total


def in_percent(value: float | None) -> str:
    """A share as "61 %"; a dash where there is none."""
    return "–" if value is None else f"{100 * value:.0f}{THIN}%"


def interval_in_percent(share: WinRate) -> str:
    """A share's interval as "55–67 %"; empty where there is none."""
    if share.interval is None:
        return ""
    low, high = share.interval
    return f"{100 * low:.0f}–{100 * high:.0f}{THIN}%"
