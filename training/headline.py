"""The first thing that a manager is told: how the loop stands, and what fits next.

Pure functions of plain facts, so that every case is a line of a table test.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from training.progress import in_words
from training.shares import Share, in_percent, interval_in_percent

ENOUGH_HELD_OUT = 20
"""With fewer decided verdicts on held-out prompts, all prompts are reported, and said to be."""

READY_WITHOUT_SCHEDULE = 100
"""New pairs from which a round is suggested where the project names no number of its own."""

NOTHING = Share(0, 0)

Step = Literal["import", "sample", "watch", "round", "rate", "wait"]


@dataclasses.dataclass(frozen=True)
class Headline:
    """``before`` [``share`` ``after``] ``then``: one to three short sentences."""

    before: str
    share: Share | None = None
    after: str = ""
    then: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What the headline is made of."""

    # the round that has not finished, if any
    training: int | None = None
    training_is_queued: bool = False
    phase: str = ""
    step: int = 0
    total_steps: int = 0
    seconds_left: float | None = None
    # the newest finished round and how it fares
    last: int | None = None
    last_failed: int | None = None  # a newer round that failed
    opponent: str = ""
    held_out: Share = NOTHING
    everywhere: Share = NOTHING
    # the pairs, and when the next round is due
    new_pairs: int = 0
    due_at_pairs: int | None = None
    pairs_last_day: int = 0
    # what there is to work on
    prompts: int = 0
    completions: int = 0
    open_slots: int = 0
    is_sampling: bool = False
    can_sample: bool = False
    can_train: bool = False


def headline(facts: Facts) -> Headline:
    """How the loop stands."""
    if facts.training is not None:
        return dataclasses.replace(_training(facts), then=_so_far(facts))
    if facts.last_failed is not None:
        return Headline(
            f"Round {facts.last_failed} failed.", then=f"Its page says why. {_pairs(facts)}".strip()
        )
    if facts.last is not None:
        return _measured(facts)
    if not facts.prompts:
        return Headline(
            "Nothing here yet.",
            then="Import prompts, or pairs that you have already; the rest follows from them.",
        )
    if not facts.completions:
        then = "Have the base model write completions, or import some, and raters can begin."
        if facts.is_sampling:
            then = "The first completions are being written; raters can begin with the first."
        return Headline(f"{facts.prompts:,} prompts wait for answers.", then=then)
    return Headline("No round has been trained yet.", then=_pairs(facts))


def _training(facts: Facts) -> Headline:
    if facts.training_is_queued:
        return Headline(f"Round {facts.training} waits for a worker.")
    name = f"Round {facts.training} is in training"
    if facts.phase not in ("training", "evaluating") or not facts.total_steps:
        return Headline(f"{name}: {facts.phase or 'starting'}.")
    left = f", {in_words(facts.seconds_left)} left" if facts.seconds_left is not None else ""
    return Headline(f"{name}: step {facts.step:,} of {facts.total_steps:,}{left}.")


def _so_far(facts: Facts) -> str:
    """How the newest finished round fares, in one line."""
    if facts.last is None:
        return ""
    told = _measured(facts)
    if told.share is None:
        return told.before
    number = f"{in_percent(told.share.value)} ({interval_in_percent(told.share)})"
    return f"{told.before} {number} {told.after}"


def _measured(facts: Facts) -> Headline:
    name, opponent = f"Round {facts.last}", facts.opponent
    on_held_out = facts.held_out.decided >= ENOUGH_HELD_OUT
    share = facts.held_out if on_held_out else facts.everywhere
    where = "on held-out prompts" if on_held_out else "on all prompts"
    if not share.decided:
        return Headline(
            f"Round {facts.last} is trained.",
            then=f"Its answers have not been judged against {opponent} yet. {_pairs(facts)}",
        )
    before = {
        "won": f"{name} beats {opponent}",
        "lost": f"{name} loses to {opponent}: it wins",
        "open": f"{name} against {opponent} is still open: it wins",
    }[share.verdict]
    return Headline(before, share, f"{where}.", _pairs(facts))


def _pairs(facts: Facts) -> str:
    since = " since" if facts.last is not None else ""
    if not facts.new_pairs:
        return f"No new pairs{since}." if since else "There are no pairs to train on yet."
    plural = "s" if facts.new_pairs > 1 else ""
    said = f"{facts.new_pairs:,} new pair{plural}{since}"
    if not facts.due_at_pairs:
        return f"{said}."
    missing = facts.due_at_pairs - facts.new_pairs
    if missing <= 0:
        return f"{said}; the next round is due."
    if not facts.pairs_last_day:
        return f"{said}; the next round is due at {facts.due_at_pairs:,}."
    pace = in_words(86_400 * missing / facts.pairs_last_day)
    return f"{said}; the next round is due at {facts.due_at_pairs:,}, in {pace} at this pace."


def next_step(facts: Facts) -> Step:
    """The one thing whose button is the main one."""
    if facts.training is not None:
        return "watch"
    if not facts.prompts:
        return "import"
    if not facts.completions and not facts.is_sampling:
        return "sample" if facts.can_sample else "import"
    enough = facts.new_pairs >= (facts.due_at_pairs or READY_WITHOUT_SCHEDULE)
    if facts.can_train and facts.new_pairs and (enough or not facts.open_slots):
        return "round"
    if facts.open_slots:
        return "rate"
    if facts.is_sampling:
        return "wait"
    return "sample" if facts.can_sample else "import"
