"""What has happened in a project, read off its rows, in the reader's language.

Each happening has a key that stays the same however often it is found, so it is told once.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Project
from training.models import TEST, Event, Gate, LoopSettings, Round, loop_of
from training.policies import gates
from training.rounds.run_warnings import LOOKED_AT, run_warnings
from training.stats.win_rates import in_percent

LATEST = timedelta(days=1)
"""Numbers of rounds that ended before are not looked at again; ten seconds pass between looks."""


@dataclasses.dataclass(frozen=True)
class Occurrence:
    """One thing to tell: ``lines`` for people, ``data`` for programs."""

    event: str
    key: str
    at: datetime
    subject: str
    lines: list[str]
    path: str
    data: dict[str, Any]

    @property
    def url(self) -> str:
        return f"{settings.PUBLIC_URL}{self.path}"


def occurrences(
    project: Project,
    *,
    since: datetime,
    events: Iterable[str],
    known: set[str],
    look_at_gates: bool = False,
) -> Iterator[Occurrence]:
    """What has happened since, of these kinds, less what has one of the ``known`` keys.

    ``look_at_gates``: weigh open gates too, which reads many answers.
    """
    wanted = set(events)
    yield from _ended(project, since, wanted, known)
    if Event.WARNING in wanted:
        yield from _warnings(project, since, known)
    if Event.GATE_DECIDED in wanted:
        yield from _decided(project, since, known)
    if Event.GATE_READY in wanted and look_at_gates:
        yield from _ready(project, since, known)


def trial_occurrence(project: Project, *, key: str, at: datetime) -> Occurrence:
    """A message that says nothing but that messages arrive."""
    return Occurrence(
        event=TEST,
        key=key,
        at=at,
        subject=_("%(project)s: a test message") % {"project": project.name},
        lines=[_("Someone asked for this test message.")],
        path=reverse("notifications", args=[project.slug]),
        data={"project": project.slug},
    )


def _ended(
    project: Project, since: datetime, wanted: set[str], known: set[str]
) -> Iterator[Occurrence]:
    kinds = {
        Round.State.SUCCEEDED.value: Event.SUCCEEDED,
        Round.State.FAILED.value: Event.FAILED,
    }
    states = [state for state, event in kinds.items() if event in wanted]
    found = project.rounds.filter(state__in=states, finished_at__gte=since)
    for one in found.select_related("project", "policy", "snapshot").order_by("finished_at"):
        key = f"round:{one.pk}:{one.state}"
        if key in known or one.finished_at is None:
            continue
        words = {"project": project.name, "number": one.number}
        if one.state == Round.State.SUCCEEDED:
            subject = _("%(project)s: round %(number)s has succeeded") % words
            lines = [_succeeded(one)]
            if one.policy is None:
                path = reverse("rewards", args=[project.slug]) + f"?by={one.number}"
            else:
                path = reverse("report", args=[project.slug, one.number])
        else:
            subject = _("%(project)s: round %(number)s has failed") % words
            lines = [one.error or _("The engine gave no reason.")]
            lines.append(_("Its pairs are kept; you can start another round at once."))
            path = one.get_absolute_url()
        told = one.result.get("held_out") or {}
        data = {
            **_of_round(one),
            "state": one.state,
            "policy": one.policy.slug if one.policy else None,
            "error": one.error or None,
            "held_out_pairs": told.get("pairs"),
            "reward_accuracy": told["rewarded"] / told["pairs"] if told.get("pairs") else None,
        }
        yield Occurrence(kinds[one.state], key, one.finished_at, subject, lines, path, data)


def _succeeded(one: Round) -> str:
    if one.policy is None:
        return _("Its reward model can score answers now.")
    told = one.result.get("held_out") or {}
    name = one.policy.slug
    if not told.get("pairs"):
        return _("Its policy %(policy)s has joined the pool.") % {"policy": name}
    words = _(
        "Its policy %(policy)s has joined the pool. On %(pairs)s held-out pairs it prefers the "
        "chosen answer %(share)s of the time."
    )
    share = in_percent(told["rewarded"] / told["pairs"])
    return words % {"policy": name, "pairs": told["pairs"], "share": share}


def _warnings(project: Project, since: datetime, known: set[str]) -> Iterator[Occurrence]:
    found = project.rounds.filter(state=Round.State.RUNNING) | project.rounds.filter(
        state=Round.State.SUCCEEDED, finished_at__gte=max(since, timezone.now() - LATEST)
    )
    for one in found.select_related("project", "snapshot"):
        key = f"round:{one.pk}:warning"
        if key in known:
            continue
        lines = warnings_of(one)
        if lines:
            words = _("%(project)s: round %(number)s has warnings")
            yield Occurrence(
                Event.WARNING,
                key,
                one.heartbeat_at or one.created_at,
                words % {"project": project.name, "number": one.number},
                lines,
                one.get_absolute_url(),
                {**_of_round(one), "concerns": lines},
            )


def warnings_of(one: Round) -> list[str]:
    """What the round's numbers warn of, in words."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    rows = one.metrics.filter(name__in=LOOKED_AT).order_by("step")
    for step, name, value in rows.values_list("step", "name", "value"):
        curves[name].append((step, value))
    return [f"{warned.seen} {warned.advice}" for warned in run_warnings(curves, config=one.config)]


def _decided(project: Project, since: datetime, known: set[str]) -> Iterator[Occurrence]:
    found = project.gates.filter(
        state__in=(Gate.State.PROMOTED, Gate.State.REJECTED), decided_at__gte=since
    )
    for gate in found.select_related("candidate", "champion"):
        key = f"gate:{gate.pk}:decided"
        if key in known or gate.decided_at is None:
            continue
        if gate.state == Gate.State.PROMOTED:
            words = _("%(project)s: %(policy)s is the new champion")
        else:
            words = _("%(project)s: %(policy)s has not passed the gate")
        yield Occurrence(
            Event.GATE_DECIDED,
            key,
            gate.decided_at,
            words % {"project": project.name, "policy": gate.candidate.slug},
            [_against(gate, gate.figures)],
            reverse("policy", args=[project.slug, gate.candidate.slug]),
            {**_of_gate(project, gate, gate.figures), "state": gate.state},
        )


def _ready(project: Project, since: datetime, known: set[str]) -> Iterator[Occurrence]:
    if loop_of(project).promotion == LoopSettings.Promotion.AUTOMATIC:
        return
    for gate in gates.open_gates(project):
        key = f"gate:{gate.pk}:ready"
        if key in known:
            continue
        stands = gates.standing(gate)
        if stands.evidence.verdict == "go on":
            continue
        words = _("%(project)s: the gate of %(policy)s waits for your decision")
        figures = dataclasses.asdict(stands.evidence)
        lines = [_against(gate, figures)]
        lines += [f"{one.name}: {one.found} ({one.limit})" for one in stands.objections]
        yield Occurrence(
            Event.GATE_READY,
            key,
            max(since, gate.opened_at),
            words % {"project": project.name, "policy": gate.candidate.slug},
            lines,
            reverse("policies", args=[project.slug]),
            {**_of_gate(project, gate, figures), "verdict": stands.evidence.verdict},
        )


def _against(gate: Gate, figures: dict[str, Any]) -> str:
    if not figures.get("meetings"):
        return _("It was not compared with %(champion)s.") % {"champion": gate.champion.slug}
    words = _(
        "Against %(champion)s it won %(share)s (%(low)s to %(high)s) of %(meetings)s comparisons."
    )
    return words % {
        "champion": gate.champion.slug,
        "share": in_percent(figures["share"]),
        "low": in_percent(figures["low"]),
        "high": in_percent(figures["high"]),
        "meetings": figures["meetings"],
    }


def _of_round(one: Round) -> dict[str, Any]:
    return {
        "project": one.project.slug,
        "round": one.number,
        "pairs": one.snapshot.counts.get("train"),
        "snapshot": one.snapshot.sha256,
    }


def _of_gate(project: Project, gate: Gate, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "project": project.slug,
        "candidate": gate.candidate.slug,
        "champion": gate.champion.slug,
        **{name: figures.get(name) for name in ("meetings", "share", "low", "high")},
    }
