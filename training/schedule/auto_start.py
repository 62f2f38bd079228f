"""Rounds that start by themselves: how things stand, what follows, and doing it.

The rules are in ``training.schedule.conditions``, the calendar in ``training.schedule.time_plan``.
"""

from __future__ import annotations

import dataclasses
import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.formats import date_format

from annotate.models import Policy, Project
from annotate.quality.recent_rates import recent_agreement, recent_gold
from training.errors import Refused
from training.models import Gate, LoopSettings, PlanWindow, Round, loop_of
from training.rounds import lifecycle
from training.rounds.lifecycle import RoundPlan
from training.schedule.conditions import NONE, StartDecision, StartFacts, StartRules, decide
from training.schedule.time_plan import Plan, latest_window, next_window

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What the clock would do with a project now, and when its plan's time comes next."""

    verdict: StartDecision
    planned: RoundPlan
    window: datetime | None
    next_window: datetime | None
    zone: str = ""


def rules_of(loop: LoopSettings) -> StartRules:
    return StartRules(
        after_pairs=loop.round_after_pairs,
        after_minutes=loop.round_after_minutes,
        has_plan=bool(loop.round_plan),
        needs_all=loop.round_needs_all,
        gold_floor=loop.gold_floor,
        agreement_floor=loop.agreement_floor,
        needs_decision=loop.round_needs_decision,
    )


def outlook(project: Project, *, now: datetime | None = None) -> Outlook:
    """How things stand and what follows. Changes nothing but the base policy."""
    now = now or timezone.now()
    loop = loop_of(project)
    rules = rules_of(loop)
    plan = Plan.from_dict(loop.round_plan)
    planned = lifecycle.plan(project)
    trained = project.rounds.exclude(kind=Round.Kind.REWARD)  # it trains no policy
    last = trained.order_by("-number").first()
    window = _open_window(loop, plan, now) if plan else None
    facts = StartFacts(
        now=now,
        new_pairs=planned.new_pairs,
        hindrance=planned.reason,
        is_paused=project.is_paused,
        last_started=last.created_at if last else None,
        window=window,
        gold=recent_gold(project, now=now) if rules.gold_floor else NONE,
        agreement=recent_agreement(project, now=now) if rules.agreement_floor else NONE,
        undecided=_undecided(project) if rules.needs_decision else (),
    )
    return Outlook(
        verdict=decide(rules, facts, say=_say),
        planned=planned,
        window=window,
        next_window=next_window(plan, now=now) if plan else None,
        zone=plan.zone if plan else "",
    )


def dry_run(project: Project, *, now: datetime | None = None) -> Outlook:
    """The same, and really nothing is changed: what it took is rolled back."""
    with transaction.atomic():
        result = outlook(project, now=now)
        transaction.set_rollback(True)
    return result


def start_due_rounds(*, now: datetime | None = None) -> list[Round]:
    """Start a round in every project that is due one, and put every plan's time behind us.

    A plan's time is dealt with once: what the conditions are when it comes, or when the server
    is back after it, decides. The round names it, and the database lets no second one do so.
    """
    now = now or timezone.now()
    started: list[Round] = []
    for loop in LoopSettings.objects.select_related("project"):
        if not rules_of(loop).calls:
            continue
        try:
            started += _start_if_due(loop.project, now)
        except Exception:  # one project's fault must not keep the others waiting
            logger.exception("project %s: whether a round is due", loop.project.slug)
    return started


def _start_if_due(project: Project, now: datetime) -> list[Round]:
    seen = outlook(project, now=now)
    reason, started = seen.verdict.why, []
    window = _window_row(project, seen.window)
    if seen.verdict.starts and seen.verdict.trigger is not None:
        try:
            made = lifecycle.start_round(
                project=project, trigger=seen.verdict.trigger, window=window
            )
        except Refused as error:
            reason = str(error)
            logger.info("project %s: no round: %s", project.slug, error)
        else:
            started.append(made)
    if window is not None:
        PlanWindow.objects.filter(pk=window.pk, decided_at=None).update(
            decided_at=now, words=reason
        )
    return started


def _open_window(loop: LoopSettings, plan: Plan, now: datetime) -> datetime | None:
    """The newest moment of the plan that came and was not dealt with; earlier ones are past."""
    since = loop.round_plan_since or now
    newest = PlanWindow.objects.filter(project=loop.project_id)
    dealt_with = newest.exclude(decided_at=None, round=None).order_by("-at").first()
    if dealt_with is not None and dealt_with.at > since:
        since = dealt_with.at
    return latest_window(plan, after=since, until=now)


def _window_row(project: Project, at: datetime | None) -> PlanWindow | None:
    if at is None:
        return None
    return PlanWindow.objects.get_or_create(project=project, at=at)[0]


def _undecided(project: Project) -> list[str]:
    """Candidates that rounds made, and those of an open gate."""
    candidates = project.policies.filter(state=Policy.State.CANDIDATE, made_by__isnull=False)
    at_the_gate = Gate.objects.filter(project=project, state=Gate.State.OPEN)
    names = {*candidates.values_list("slug", flat=True)}
    return sorted(names | {*at_the_gate.values_list("candidate__slug", flat=True)})


def _say(moment: datetime) -> str:
    return date_format(timezone.localtime(moment), "SHORT_DATETIME_FORMAT")
