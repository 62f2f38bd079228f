"""The gate's rules: whether a candidate has beaten the champion, and what speaks against it.

Pure functions of tallies, texts and a round's numbers; ``training.policies.gates`` applies them.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from annotate.content.screening import is_looping
from annotate.formatting import grouped
from training.stats.answer_measures import refuses
from training.stats.sequential_test import (
    ALPHA,
    VoteTally,
    flipped,
    log_capital,
    lower_bound,
    upper_bound,
)
from training.stats.win_rates import in_percent

GateVerdict = Literal["promote", "reject", "go on"]
MeetingVote = Literal["a", "b", "tie", "both_bad"]

MOST_VOTES = 400
"""As many settled meetings as a gate waits for, if nobody says otherwise."""


# --- the votes ---


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the meetings say of the candidate: a tie is half a win.

    ``low`` and ``high`` hold the true share whenever one looks, each with a chance of 95 %.
    """

    meetings: int
    share: float
    low: float
    high: float
    verdict: GateVerdict

    @property
    def is_cut_short(self) -> bool:
        """Whether it is rejected because proof is lacking, not because it is proved worse."""
        return self.verdict == "reject" and self.high >= 0.5


def worth(votes: Iterable[MeetingVote], candidate: Literal["a", "b"]) -> float | None:
    """One meeting, from 0 to 1: the mean over its judgements. None without any.

    Judgements of the same two answers depend on each other, so a meeting is one observation.
    """
    values = [1.0 if vote == candidate else 0.0 if vote in ("a", "b") else 0.5 for vote in votes]
    return sum(values) / len(values) if values else None


def verdict_of(tally: VoteTally, *, most: int = MOST_VOTES) -> GateVerdict:
    """Promote once "no better" is refuted, reject once "no worse" is; or at the cap."""
    wanted = -math.log(ALPHA)
    if log_capital(tally, 0.5) >= wanted:
        return "promote"
    if log_capital(flipped(tally), 0.5) >= wanted or sum(tally.values()) >= most:
        return "reject"
    return "go on"


def evidence(values: Iterable[float], *, most: int = MOST_VOTES) -> Evidence:
    """The same with its figures, from what each meeting was worth."""
    tally = Counter(values)
    meetings = tally.total()
    share = sum(value * count for value, count in tally.items()) / meetings if meetings else 0.5
    return Evidence(
        meetings=meetings,
        share=share,
        low=lower_bound(tally),
        high=upper_bound(tally),
        verdict=verdict_of(tally, most=most),
    )


# --- the guards ---


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a candidate may go before a guard holds it back."""

    length_growth: float = 1.5
    """Its mean length over the champion's."""
    looping_rise: float = 0.05
    refusal_rise: float = 0.10
    """More of its answers than of the champion's, as shares of all."""
    chosen_drop: float = 0.30
    """Of the chosen answers' log-probability during its round, as a share of where it began."""
    chosen_least: float = 5.0
    """A smaller drop than this, in nats, is none."""


@dataclasses.dataclass(frozen=True)
class Guard:
    """One thing that was looked at: what it is, what was found, whether that is in order."""

    name: str
    found: str
    limit: str
    holds: bool


def guards(
    *,
    candidate: Sequence[str],
    champion: Sequence[str],
    chosen: Sequence[float] = (),
    limits: Limits = Limits(),
) -> list[Guard]:
    """What speaks against promoting, from both policies' answers to the same prompts.

    ``chosen``: the log-probability of the held-out chosen answers through the round.
    """
    if not candidate or not champion:
        return []
    growth = _mean(map(len, candidate)) / max(1.0, _mean(map(len, champion)))
    result = [
        Guard(
            _("Length"),
            _("%(times)s times the champion's") % {"times": _number(growth, 2)},
            _("at most %(times)s times") % {"times": _number(limits.length_growth, 1)},
            growth <= limits.length_growth,
        ),
        _rise(_("Repetition"), is_looping, candidate, champion, limits.looping_rise),
        _rise(_("Refusals"), refuses, candidate, champion, limits.refusal_rise),
    ]
    if len(chosen) > 1:
        drop = chosen[0] - chosen[-1]
        share = drop / max(abs(chosen[0]), 1e-9)
        result.append(
            Guard(
                _("Chosen answers' log-probability"),
                _("%(before)s before, %(now)s now")
                % {"before": _number(chosen[0], 1), "now": _number(chosen[-1], 1)},
                _("a drop of at most %(share)s") % {"share": in_percent(limits.chosen_drop)},
                drop <= limits.chosen_least or share <= limits.chosen_drop,
            )
        )
    return result


def _rise(
    name: str,
    has: Callable[[str], bool],
    candidate: Sequence[str],
    champion: Sequence[str],
    limit: float,
) -> Guard:
    now, before = _mean(map(has, candidate)), _mean(map(has, champion))
    values = {"now": in_percent(now), "before": in_percent(before)}
    return Guard(
        name,
        _("%(now)s of its answers, %(before)s of the champion's") % values,
        _("at most %(points)s points more") % {"points": grouped(round(100 * limit))},
        now - before <= limit,
    )


def _number(value: float, digits: int) -> str:
    """With the language's decimal sign, and a true minus."""
    return number_format(f"{value:.{digits}f}").replace("-", "\N{MINUS SIGN}")


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
