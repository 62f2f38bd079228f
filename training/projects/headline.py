"""The first thing that a manager is told: how the loop stands, and what fits next.

Pure functions of plain facts, so that every case is a line of a table test.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped
from training.jobs.phases import STEPPING, phase_in_words
from training.jobs.progress import in_words
from training.stats.win_rates import WinRate, in_percent, interval_in_percent

ENOUGH_HELD_OUT = 20
"""With fewer decided verdicts on held-out prompts, all prompts are reported, and said to be."""

READY_WITHOUT_SCHEDULE = 100
"""New pairs from which a round is suggested where the project names no number of its own."""

NOTHING = WinRate(0, 0)

NextStep = Literal["import", "sample", "watch", "round", "rate", "wait"]


@dataclasses.dataclass(frozen=True)
class Headline:
    """``before`` [``share`` ``after``] ``then``: one to three short sentences."""

    before: str
    share: WinRate | None = None
    after: str = ""
    then: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectFacts:
    """What the headline is made of."""

    # the round that has not finished, if any
    training: int | None = None
    training_is_queued: bool = False
    training_is_paused: bool = False
    phase: str = ""
    step: int = 0
    total_steps: int = 0
    seconds_left: float | None = None
    # the newest finished round and how it fares
    last: int | None = None
    last_failed: int | None = None  # a newer round that failed
    opponent: str = ""
    held_out: WinRate = NOTHING
    everywhere: WinRate = NOTHING
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


def headline(facts: ProjectFacts) -> Headline:
    """How the loop stands."""
    if facts.training is not None:
        return dataclasses.replace(_training(facts), then=_so_far(facts))
    if facts.last_failed is not None:
        return Headline(
            _("Round %(number)s failed.") % {"number": facts.last_failed},
            then=" ".join([_("Its page says why."), _pairs(facts)]),
        )
    if facts.last is not None:
        return _measured(facts)
    if not facts.prompts:
        return Headline(
            _("Nothing here yet."),
            then=_("Import prompts, or pairs that you have already; the rest follows from them."),
        )
    if not facts.completions:
        then = _("Have the base model write completions, or import some, and raters can begin.")
        if facts.is_sampling:
            then = _("The first completions are being written; raters can begin with the first.")
        message = ngettext(
            "%(count)s prompt waits for answers.",
            "%(count)s prompts wait for answers.",
            facts.prompts,
        )
        return Headline(message % {"count": grouped(facts.prompts)}, then=then)
    return Headline(_("No round has been trained yet."), then=_pairs(facts))


def _training(facts: ProjectFacts) -> Headline:
    values = {"number": facts.training}
    if facts.training_is_paused:
        return Headline(_("Round %(number)s is paused.") % values)
    if facts.training_is_queued:
        return Headline(_("Round %(number)s waits for a worker.") % values)
    if facts.phase not in STEPPING or not facts.total_steps:
        message = _("Round %(number)s is in training: %(phase)s.")
        return Headline(message % {**values, "phase": phase_in_words(facts.phase)})
    steps = {**values, "step": grouped(facts.step), "steps": grouped(facts.total_steps)}
    if facts.seconds_left is None:
        return Headline(_("Round %(number)s is in training: step %(step)s of %(steps)s.") % steps)
    message = _("Round %(number)s is in training: step %(step)s of %(steps)s, %(time)s left.")
    return Headline(message % {**steps, "time": in_words(facts.seconds_left)})


def _so_far(facts: ProjectFacts) -> str:
    """How the newest finished round fares, in one line."""
    if facts.last is None:
        return ""
    measured = _measured(facts)
    if measured.share is None:
        return measured.before
    number = f"{in_percent(measured.share.value)} ({interval_in_percent(measured.share)})"
    return f"{measured.before} {number} {measured.after}"


def _measured(facts: ProjectFacts) -> Headline:
    names = {"number": facts.last, "opponent": facts.opponent}
    on_held_out = facts.held_out.decided >= ENOUGH_HELD_OUT
    share = facts.held_out if on_held_out else facts.everywhere
    if not share.decided:
        unjudged = _("Its answers have not been judged against %(opponent)s yet.") % names
        return Headline(
            _("Round %(number)s is trained.") % names, then=f"{unjudged} {_pairs(facts)}"
        )
    # A share and its interval follow, and then where it was measured.
    if share.verdict == "won":
        before = _("Round %(number)s beats %(opponent)s")
    elif share.verdict == "lost":
        before = _("Round %(number)s loses to %(opponent)s: it wins")
    else:
        before = _("Round %(number)s against %(opponent)s is still open: it wins")
    where = _("on held-out prompts.") if on_held_out else _("on all prompts.")
    return Headline(before % names, share, where, _pairs(facts))


def _pairs(facts: ProjectFacts) -> str:
    new, due = facts.new_pairs, facts.due_at_pairs
    if not new:
        if facts.last is None:
            return _("There are no pairs to train on yet.")
        return _("No new pairs since.")
    if facts.last is None:
        message = ngettext("%(pairs)s new pair", "%(pairs)s new pairs", new)
    else:
        message = ngettext("%(pairs)s new pair since", "%(pairs)s new pairs since", new)
    values = {"pairs": message % {"pairs": grouped(new)}}
    if not due:
        return f"{values['pairs']}."
    if new >= due:
        return _("%(pairs)s; the next round is due.") % values
    values["due"] = grouped(due)
    if not facts.pairs_last_day:
        return _("%(pairs)s; the next round is due at %(due)s.") % values
    values["time"] = in_words(86_400 * (due - new) / facts.pairs_last_day)
    return _("%(pairs)s; the next round is due at %(due)s, in %(time)s at this pace.") % values


def next_step(facts: ProjectFacts) -> NextStep:
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
