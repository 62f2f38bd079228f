"""Whether a round starts by itself now, condition by condition. Pure functions of facts.

What a dry run says and what the clock does are the same ``decide``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped
from annotate.quality.recent_rates import FEWEST, Recent

ConditionState = Literal["met", "not met", "not required"]
Trigger = Literal["pairs", "time", "plan"]
NONE = Recent(0, 0)


@dataclasses.dataclass(frozen=True)
class StartRules:
    """What a project asks for. A round starts by itself only where at least one call is named."""

    after_pairs: int | None = None
    after_minutes: int | None = None
    has_plan: bool = False
    needs_all: bool = False
    """All of the calls above must be heard; else any one does."""
    gold_floor: int | None = None
    agreement_floor: int | None = None
    needs_decision: bool = False

    @property
    def calls(self) -> bool:
        """Whether anything but a button starts a round."""
        return bool(self.after_pairs or self.after_minutes or self.has_plan)


@dataclasses.dataclass(frozen=True)
class StartFacts:
    """How things stand."""

    now: datetime
    new_pairs: int = 0
    hindrance: str | None = None
    """Why no round can start at all, in words."""
    is_paused: bool = False
    last_started: datetime | None = None
    window: datetime | None = None
    """The plan's moment that has come and was not dealt with yet."""
    gold: Recent = NONE
    agreement: Recent = NONE
    undecided: Sequence[str] = ()
    """Candidates that nobody has promoted or retired."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition: its name, whether it holds, and what that is seen from."""

    key: str
    name: str
    state: ConditionState
    words: str


@dataclasses.dataclass(frozen=True)
class StartDecision:
    """``trigger`` is what started it; ``why`` says in a sentence why not, where it does not."""

    starts: bool
    trigger: Trigger | None
    conditions: Sequence[Condition]
    why: str = ""


def decide(
    rules: StartRules, facts: StartFacts, *, say: Callable[[datetime], str] = str
) -> StartDecision:
    """Whether a round starts now. ``say`` writes a moment for people."""
    calls = [_pairs(rules, facts), _minutes(rules, facts), _plan(rules, facts, say)]
    bars = [
        _possible(facts),
        _running(facts),
        _new(facts),
        _floor(
            "gold",
            _("Gold accuracy is high enough"),
            rules.gold_floor,
            facts.gold,
            _("%(right)s of the newest %(of)s gold verdicts are right"),
            _("gold verdicts"),
        ),
        _floor(
            "agreement",
            _("Raters agree enough"),
            rules.agreement_floor,
            facts.agreement,
            _("in %(right)s of the newest %(of)s pairs of judgements two raters chose the same"),
            _("pairs of judgements"),
        ),
        _decided(rules, facts),
    ]
    asked = [condition for condition in calls if condition.state != "not required"]
    heard = [condition for condition in asked if condition.state == "met"]
    calling = bool(asked) and (len(heard) == len(asked) if rules.needs_all else bool(heard))
    barred = [condition for condition in bars if condition.state == "not met"]
    conditions = [*calls, *bars]
    if calling and not barred:
        keys = {condition.key for condition in heard}
        order: tuple[Trigger, ...] = ("plan", "pairs", "time")
        return StartDecision(True, next(key for key in order if key in keys), conditions)
    return StartDecision(False, None, conditions, _why(asked, heard, calling, barred, rules))


def _why(
    asked: Sequence[Condition],
    heard: Sequence[Condition],
    calling: bool,
    barred: Sequence[Condition],
    rules: StartRules,
) -> str:
    if not asked:
        return _("Rounds start only by the button.")
    if not calling:
        missing = (
            [condition for condition in asked if condition not in heard]
            if rules.needs_all
            else asked
        )
        return " ".join(condition.words for condition in missing)
    return " ".join(condition.words for condition in barred)


# --- what calls for a round ---


def _pairs(rules: StartRules, facts: StartFacts) -> Condition:
    name = _("Enough new pairs")
    if not rules.after_pairs:
        return Condition("pairs", name, "not required", _("New pairs alone start nothing."))
    sentence = ngettext(
        "%(new)s new pair of %(wanted)s.", "%(new)s new pairs of %(wanted)s.", facts.new_pairs
    ) % {"new": grouped(facts.new_pairs), "wanted": grouped(rules.after_pairs)}
    return Condition("pairs", name, _state(facts.new_pairs >= rules.after_pairs), sentence)


def _minutes(rules: StartRules, facts: StartFacts) -> Condition:
    name = _("Enough time since the last round")
    if not rules.after_minutes:
        return Condition("time", name, "not required", _("Time alone starts nothing."))
    if facts.last_started is None:
        return Condition("time", name, "met", _("There has been no round yet."))
    since = facts.now - facts.last_started
    sentence = _("The last round started %(since)s minutes ago; %(wanted)s are required.") % {
        "since": grouped(max(0, int(since.total_seconds() // 60))),
        "wanted": grouped(rules.after_minutes),
    }
    return Condition(
        "time", name, _state(since >= timedelta(minutes=rules.after_minutes)), sentence
    )


def _plan(rules: StartRules, facts: StartFacts, say: Callable[[datetime], str]) -> Condition:
    name = _("A scheduled time has come")
    if not rules.has_plan:
        return Condition("plan", name, "not required", _("There is no schedule."))
    if facts.window is None:
        sentence = _("The last scheduled time has been dealt with, or none has come yet.")
        return Condition("plan", name, "not met", sentence)
    sentence = _("The scheduled time %(moment)s has come.") % {"moment": say(facts.window)}
    return Condition("plan", name, "met", sentence)


# --- what must hold besides ---


def _possible(facts: StartFacts) -> Condition:
    name = _("A round can start")
    sentence = facts.hindrance or _("Nothing prevents it.")
    return Condition("possible", name, _state(not facts.hindrance), sentence)


def _running(facts: StartFacts) -> Condition:
    name = _("The project is not paused")
    sentence = _("It is paused.") if facts.is_paused else _("It is not.")
    return Condition("running", name, _state(not facts.is_paused), sentence)


def _new(facts: StartFacts) -> Condition:
    name = _("There is something new")
    sentence = (
        _("There are new pairs.") if facts.new_pairs else _("No pair is new since the last round.")
    )
    return Condition("new", name, _state(facts.new_pairs > 0), sentence)


def _floor(
    key: str, name: str, floor: int | None, recent: Recent, template: str, counted: str
) -> Condition:
    if floor is None:
        return Condition(key, name, "not required", _("No minimum is set."))
    if not recent.is_known:
        few = _("Too few to tell: %(of)s %(what)s recently, at least %(fewest)s are needed.")
        sentence = few % {"of": recent.of, "what": counted, "fewest": FEWEST}
        return Condition(key, name, "not met", sentence)
    seen = template % {"right": grouped(recent.right), "of": grouped(recent.of)}
    sentence = _("%(percent)s %%: %(seen)s. At least %(floor)s %% is required.") % {
        "percent": number_format(recent.percent, 1),
        "seen": seen,
        "floor": floor,
    }
    return Condition(key, name, _state(recent.percent >= floor), sentence)


def _decided(rules: StartRules, facts: StartFacts) -> Condition:
    name = _("The last candidate has been decided")
    if not rules.needs_decision:
        return Condition("decided", name, "not required", _("Not required."))
    if facts.undecided:
        sentence = _("%(names)s is still to be promoted or retired.") % {
            "names": ", ".join(facts.undecided)
        }
        return Condition("decided", name, "not met", sentence)
    return Condition("decided", name, "met", _("No candidate is waiting."))


def _state(holds: bool) -> ConditionState:
    return "met" if holds else "not met"
