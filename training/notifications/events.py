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
    ended = project.rounds.filter(state__in=states, finished_at__gte=since)
    for round_ in ended.select_related("project", "policy", "snapshot").order_by("finished_at"):
        key = f"round:{round_.pk}:{round_.state}"
        if key in known or round_.finished_at is None:
            continue
        values = {"project": project.name, "number": round_.number}
        if round_.state == Round.State.SUCCEEDED:
            subject = _("%(project)s: round %(number)s has succeeded") % values
            lines = [_succeeded(round_)]
            if round_.policy is None:
                path = reverse("rewards", args=[project.slug]) + f"?by={round_.number}"
            else:
                path = reverse("report", args=[project.slug, round_.number])
        else:
            subject = _("%(project)s: round %(number)s has failed") % values
            lines = [round_.error or _("The engine gave no reason.")]
            lines.append(_("Its pairs are kept; you can start another round at once."))
            path = round_.get_absolute_url()
        held_out = round_.result.get("held_out") or {}
        data = {
            **_of_round(round_),
            "state": round_.state,
            "policy": round_.policy.slug if round_.policy else None,
            "error": round_.error or None,
            "held_out_pairs": held_out.get("pairs"),
            "reward_accuracy": held_out["rewarded"] / held_out["pairs"]
            if held_out.get("pairs")
            else None,
        }
        yield Occurrence(kinds[round_.state], key, round_.finished_at, subject, lines, path, data)


def _succeeded(round_: Round) -> str:
    if round_.policy is None:
        return _("Its reward model can score answers now.")
    held_out = round_.result.get("held_out") or {}
    name = round_.policy.slug
    if not held_out.get("pairs"):
        return _("Its policy %(policy)s has joined the pool.") % {"policy": name}
    message = _(
        "Its policy %(policy)s has joined the pool. On %(pairs)s held-out pairs it prefers the "
        "chosen answer %(share)s of the time."
    )
    share = in_percent(held_out["rewarded"] / held_out["pairs"])
    return message % {"policy": name, "pairs": held_out["pairs"], "share": share}


def _warnings(project: Project, since: datetime, known: set[str]) -> Iterator[Occurrence]:
    rounds = project.rounds.filter(state=Round.State.RUNNING) | project.rounds.filter(
        state=Round.State.SUCCEEDED, finished_at__gte=max(since, timezone.now() - LATEST)
    )
    for round_ in rounds.select_related("project", "snapshot"):
        key = f"round:{round_.pk}:warning"
        if key in known:
            continue
        lines = warnings_of(round_)
        if lines:
            subject = _("%(project)s: round %(number)s has warnings")
            yield Occurrence(
                Event.WARNING,
                key,
                round_.heartbeat_at or round_.created_at,
                subject % {"project": project.name, "number": round_.number},
                lines,
                round_.get_absolute_url(),
                {**_of_round(round_), "concerns": lines},
            )


def warnings_of(round_: Round) -> list[str]:
    """What the round's numbers warn of, in words."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    rows = round_.metrics.filter(name__in=LOOKED_AT).order_by("step")
    for step, name, value in rows.values_list("step", "name", "value"):
        curves[name].append((step, value))
    return [
        f"{warned.seen} {warned.advice}" for warned in run_warnings(curves, config=round_.config)
    ]


def _decided(project: Project, since: datetime, known: set[str]) -> Iterator[Occurrence]:
    gates = project.gates.filter(
        state__in=(Gate.State.PROMOTED, Gate.State.REJECTED), decided_at__gte=since
    )
    for gate in gates.select_related("candidate", "champion"):
        key = f"gate:{gate.pk}:decided"
        if key in known or gate.decided_at is None:
            continue
        if gate.state == Gate.State.PROMOTED:
            subject = _("%(project)s: %(policy)s is the new champion")
        else:
            subject = _("%(project)s: %(policy)s has not passed the gate")
        yield Occurrence(
            Event.GATE_DECIDED,
            key,
            gate.decided_at,
            subject % {"project": project.name, "policy": gate.candidate.slug},
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
        subject = _("%(project)s: the gate of %(policy)s waits for your decision")
        figures = dataclasses.asdict(stands.evidence)
        lines = [_against(gate, figures)]
        lines += [f"{guard.name}: {guard.found} ({guard.limit})" for guard in stands.objections]
        yield Occurrence(
            Event.GATE_READY,
            key,
            max(since, gate.opened_at),
            subject % {"project": project.name, "policy": gate.candidate.slug},
            lines,
            reverse("policies", args=[project.slug]),
            {**_of_gate(project, gate, figures), "verdict": stands.evidence.verdict},
        )


def _against(gate: Gate, figures: dict[str, Any]) -> str:
    if not figures.get("meetings"):
        return _("It was not compared with %(champion)s.") % {"champion": gate.champion.slug}
    message = _(
        "Against %(champion)s it won %(share)s (%(low)s to %(high)s) of %(meetings)s comparisons."
    )
    return message % {
        "champion": gate.champion.slug,
        "share": in_percent(figures["share"]),
        "low": in_percent(figures["low"]),
        "high": in_percent(figures["high"]),
        "meetings": figures["meetings"],
    }


def _of_round(round_: Round) -> dict[str, Any]:
    return {
        "project": round_.project.slug,
        "round": round_.number,
        "pairs": round_.snapshot.counts.get("train"),
        "snapshot": round_.snapshot.sha256,
    }


def _of_gate(project: Project, gate: Gate, figures: dict[str, Any]) -> dict[str, Any]:
    return {
        "project": project.slug,
        "candidate": gate.candidate.slug,
        "champion": gate.champion.slug,
        **{name: figures.get(name) for name in ("meetings", "share", "low", "high")},
    }
