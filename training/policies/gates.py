"""Gates: a candidate meets the champion before the raters, and is promoted or retired.

The rules are in ``training.policies.gate_rules``. Raters cannot tell a gate's cards from others:
they lie in the same queue, in the same random order, at the same priority as the candidate's other
cards.
"""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from annotate.models import Comparison, Completion, Judgement, Policy, Project, User
from annotate.pairing.comparisons import generations
from training.models import Gate, LoopSettings, Metric, loop_of
from training.policies import pool
from training.policies.gate_rules import Evidence, Guard, evidence, guards, worth

_draw = random.SystemRandom()
ANSWERS_LOOKED_AT = 1000
"""As many of each policy's answers as the guards read, on prompts that both have answered."""


@dataclasses.dataclass(frozen=True)
class GateStanding:
    """How a gate stands."""

    gate: Gate
    evidence: Evidence
    guards: Sequence[Guard]
    waiting: int
    """Meetings that are still to be judged."""

    @property
    def objections(self) -> list[Guard]:
        return [guard for guard in self.guards if not guard.holds]

    @property
    def may_promote(self) -> bool:
        return self.evidence.verdict == "promote" and not self.objections

    @property
    def has_run_dry(self) -> bool:
        """Whether nothing is decided and nothing is left to be judged."""
        return self.evidence.verdict == "go on" and not self.waiting


def arrange(*, project: Project) -> int:
    """Let every candidate meet the champion on held-out prompts. Returns how many meetings came.

    Called whenever completions have come, before others are paired with them. A gate against a
    champion that has been deposed ends; another one opens.
    """
    champion = Policy.objects.filter(project=project, state=Policy.State.CHAMPION).first()
    stale = Gate.objects.filter(project=project, state=Gate.State.OPEN).exclude(champion=champion)
    for gate in stale:
        _end(gate, Gate.State.CLOSED)
    gone = Gate.objects.filter(project=project, state=Gate.State.OPEN).exclude(
        candidate__state=Policy.State.CANDIDATE
    )
    for gate in gone:
        _end(gate, Gate.State.CLOSED)
    if champion is None:
        return 0
    candidates = project.policies.filter(state=Policy.State.CANDIDATE).order_by("pk")
    return sum(_arrange(project, candidate, champion) for candidate in candidates)


def arrange_due() -> int:
    """Arrange where a candidate has no gate against the present champion."""
    projects = Project.objects.filter(policies__state=Policy.State.CANDIDATE, is_paused=False)
    return sum(
        arrange(project=project)
        for project in projects.distinct()
        if project.policies.filter(state=Policy.State.CANDIDATE)
        .exclude(gates__state=Gate.State.OPEN, gates__champion__state=Policy.State.CHAMPION)
        .exists()
    )


@transaction.atomic
def _arrange(project: Project, candidate: Policy, champion: Policy) -> int:
    Project.objects.select_for_update().get(pk=project.pk)  # one pairing at a time
    rows = list(_meetings_to_come(project, candidate, champion))
    met = meetings(candidate, champion).count()
    if not rows and not met:
        return 0  # nothing to meet over
    Gate.objects.get_or_create(
        candidate=candidate,
        state=Gate.State.OPEN,
        defaults={"project": project, "champion": champion},
    )
    wanted = max(0, loop_of(project).gate_votes - met)
    return len(Comparison.objects.bulk_create(rows[:wanted]))


def _meetings_to_come(
    project: Project, candidate: Policy, champion: Policy
) -> Iterator[Comparison]:
    """Pairs of different answers that have not met, each of the candidate's answers once.

    First one for every prompt, then a second: meetings on many prompts say more than many on one.
    Where the champion is not what the candidate was trained from, its first answer to a prompt
    is left for the one that is.
    """
    answers: dict[int, tuple[list[Completion], list[Completion]]] = defaultdict(lambda: ([], []))
    completions = Completion.objects.filter(
        prompt__project=project, prompt__is_held_out=True, policy__in=[candidate, champion]
    ).filter(rejected_for="")
    for completion in completions.only("pk", "prompt_id", "policy_id", "text").order_by("pk"):
        answers[completion.prompt_id][completion.policy_id == champion.pk].append(completion)
    together = Comparison.objects.filter(project=project, prompt__is_held_out=True)
    met = {frozenset(pair) for pair in together.values_list("a", "b")}
    taken = {pk for pair in meetings(candidate, champion).values_list("a", "b") for pk in pair}
    priority = generations(project)[candidate.pk]
    spare = 0 if champion.pk == candidate.parent_id else 1
    prompts = list(answers)
    _draw.shuffle(prompts)
    depth = max((len(theirs) for theirs, _ in answers.values()), default=0)
    for turn in range(depth):
        for prompt in prompts:
            ours, theirs = answers[prompt]
            ours = ours[spare:] or ours
            if turn >= len(ours) or not theirs or ours[turn].pk in taken:
                continue
            completion = ours[turn]
            turned = theirs[turn % len(theirs) :] + theirs[: turn % len(theirs)]
            other = next(
                (
                    other
                    for other in turned
                    if frozenset((completion.pk, other.pk)) not in met
                    and " ".join(completion.text.split()) != " ".join(other.text.split())
                ),
                None,
            )
            if other is None:
                continue
            a, b = (completion, other) if _draw.random() < 0.5 else (other, completion)
            yield Comparison(
                project=project,
                prompt_id=prompt,
                a=a,
                b=b,
                purpose=Comparison.Purpose.GATE,
                priority=priority,
                shuffle=_draw.randrange(2**31),
                judgements_wanted=project.judgements_wanted,
            )


def meetings(candidate: Policy, champion: Policy) -> QuerySet[Comparison]:
    """The gate's comparisons of the two, whichever of them is A."""
    return Comparison.objects.filter(purpose=Comparison.Purpose.GATE).filter(
        Q(a__policy=candidate, b__policy=champion) | Q(a__policy=champion, b__policy=candidate)
    )


# --- how it stands ---


def standing(gate: Gate) -> GateStanding:
    """The evidence so far, and what the guards say."""
    met = meetings(gate.candidate, gate.champion)
    settled = met.filter(state=Comparison.State.SETTLED)
    by_meeting: dict[int, tuple[str, list[str]]] = {}
    for pk, policy, outcome in (
        Judgement.objects.counted()
        .filter(project=gate.project)
        .filter(comparison__in=settled)
        .values_list("comparison", "comparison__a__policy", "outcome")
    ):
        side = "a" if policy == gate.candidate_id else "b"
        by_meeting.setdefault(pk, (side, []))[1].append(outcome or "")
    values = [worth(votes, side) for side, votes in by_meeting.values()]  # type: ignore[arg-type]
    return GateStanding(
        gate=gate,
        evidence=evidence(
            [value for value in values if value is not None],
            most=loop_of(gate.project).gate_votes,
        ),
        guards=_guards(gate),
        waiting=met.filter(state=Comparison.State.OPEN).count(),
    )


def _guards(gate: Gate) -> list[Guard]:
    answers = {
        policy.pk: list(
            Completion.objects.filter(policy=policy, prompt__is_held_out=True)
            .filter(prompt__completions__policy=other)
            .distinct()
            .order_by("pk")
            .values_list("text", flat=True)[:ANSWERS_LOOKED_AT]
        )
        for policy, other in (
            (gate.candidate, gate.champion),
            (gate.champion, gate.candidate),
        )
    }
    chosen = Metric.objects.filter(round__policy=gate.candidate, name="held_out/logp_chosen")
    return guards(
        candidate=answers[gate.candidate_id],
        champion=answers[gate.champion_id],
        chosen=list(chosen.order_by("step").values_list("value", flat=True)),
    )


def open_gates(project: Project) -> QuerySet[Gate]:
    return Gate.objects.filter(project=project, state=Gate.State.OPEN).select_related(
        "project", "candidate", "champion"
    )


# --- what comes of it ---


def decide_due() -> list[Gate]:
    """Decide what can be decided, where the manager left that to the gate."""
    decided = []
    loops = LoopSettings.objects.filter(
        promotion=LoopSettings.Promotion.AUTOMATIC, project__is_paused=False
    )
    for loop in loops.select_related("project"):
        for gate in open_gates(loop.project):
            stands = standing(gate)
            if stands.may_promote:
                promote(policy=gate.candidate)
            elif stands.evidence.verdict == "reject":
                retire(policy=gate.candidate)
            else:
                continue
            gate.refresh_from_db()
            decided.append(gate)
    return decided


@transaction.atomic
def promote(*, policy: Policy, by: User | None = None) -> None:
    """Make a policy the champion; its gate, if one is open, is won. ``by``: None is the gate."""
    gate = open_gates(policy.project).filter(candidate=policy).first()
    if gate is not None:
        _end(gate, Gate.State.PROMOTED, by)
    pool.promote(policy=policy, by=by, gate=gate)


@transaction.atomic
def retire(*, policy: Policy, by: User | None = None) -> None:
    """Take a policy out of the pool; its gate, if one is open, is lost. Raises Refused for the
    champion."""
    pool.retire(policy=policy)
    gate = open_gates(policy.project).filter(candidate=policy).first()
    if gate is not None:
        _end(gate, Gate.State.REJECTED, by)


def _end(gate: Gate, state: str, by: User | None = None) -> None:
    """Record the end with what was known then. A gate ends once."""
    stands = standing(gate)
    Gate.objects.filter(pk=gate.pk, state=Gate.State.OPEN).update(
        state=state,
        decided_at=timezone.now(),
        decided_by=by,
        figures={
            **dataclasses.asdict(stands.evidence),
            "guards": [dataclasses.asdict(guard) for guard in stands.guards],
        },
    )
