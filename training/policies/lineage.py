"""Where a policy comes from and what followed from it: rounds, snapshots, pairs and judgements."""

from __future__ import annotations

import dataclasses

from django.db.models import Count, QuerySet

from annotate.models import Judgement, Policy, PreferencePair, Project
from training.models import ChampionTerm, Gate, Round


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A policy's relations. ``ancestors``: the parent first, then its parent, and so on."""

    policy: Policy
    made_by: Round | None
    ancestors: list[Policy]
    children: list[Policy]
    rounds_from: list[Round]
    rounds_against: list[Round]
    gates: list[Gate]
    champion_terms: list[ChampionTerm]
    completions: int
    pairs: int
    judgements: int
    raters: int


def lineage_of(policy: Policy) -> Lineage:
    """Everything that a policy's page tells, in a handful of queries."""
    made_by = (
        Round.objects.filter(policy=policy).select_related("project", "snapshot", "start").first()
    )
    behind = judgements_behind(policy).aggregate(
        judgements=Count("pk"), raters=Count("rater", distinct=True)
    )
    rounds = Round.objects.select_related("project", "policy").order_by("number")
    return Lineage(
        policy=policy,
        made_by=made_by,
        ancestors=ancestors_of(policy),
        children=list(policy.children.order_by("pk")),
        rounds_from=list(rounds.filter(start=policy)),
        rounds_against=list(rounds.filter(reference=policy)),
        gates=list(
            Gate.objects.filter(candidate=policy).select_related(
                "project", "candidate", "champion", "decided_by"
            )
        ),
        champion_terms=list(policy.champion_terms.select_related("begun_by", "gate")),
        completions=policy.completions.count(),
        pairs=pairs_behind(policy).count(),
        **behind,
    )


def ancestors_of(policy: Policy) -> list[Policy]:
    """The parent, its parent, and so on."""
    parents = {row.pk: row for row in Policy.objects.filter(project=policy.project_id)}
    ancestors: list[Policy] = []
    key = policy.parent_id
    while key is not None and len(ancestors) <= len(parents):
        ancestors.append(parents[key])
        key = parents[key].parent_id
    return ancestors


def pairs_behind(policy: Policy) -> QuerySet[PreferencePair]:
    """The pairs of the snapshot that the policy's round was trained from."""
    return PreferencePair.objects.filter(snapshots__rounds__policy=policy)


def judgements_behind(policy: Policy) -> QuerySet[Judgement]:
    """The verdicts that count, on the comparisons that those pairs were settled from."""
    comparisons = pairs_behind(policy).values("comparison")
    return Judgement.objects.counted().filter(comparison__in=comparisons)


def champion_terms_of(project: Project) -> QuerySet[ChampionTerm]:
    """Who was the champion when, the present one first."""
    return project.champion_terms.select_related("policy", "begun_by", "gate").order_by("-pk")
