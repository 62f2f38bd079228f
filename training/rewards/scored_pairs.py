"""Settled pairs with the rewards of their answers: the queries behind the page of rewards."""

from __future__ import annotations

import dataclasses
from typing import Any

from django.db.models import Count, Exists, F, FilteredRelation, OuterRef, Q

from annotate.content.export import pairs_of
from annotate.models import Judgement, PreferencePair, Project
from training.models import Round
from training.rewards.agreement import ScoredPair, right
from training.rewards.scorers import KINDS, name_of, scorers
from training.stats.win_rates import WinRate

Annotated = Any
"""A query set of pairs with what ``settled`` adds to them, which their type does not know."""

WHERE = ("held_out", "trained_on", "neither")


def settled(project: Project, scorer: Round) -> Annotated:
    """The pairs whose answers ``scorer`` has both scored, with ``chosen_reward``,
    ``rejected_reward``, ``ahead`` (of the rejected answer) and ``is_trained_on``."""
    through = PreferencePair.snapshots.through.objects
    frozen = through.filter(preferencepair=OuterRef("pk"), snapshot=scorer.snapshot_id)
    return (
        pairs_of(project)
        .annotate(
            of_chosen=FilteredRelation(
                "chosen__scores", condition=Q(chosen__scores__round=scorer.pk)
            ),
            of_rejected=FilteredRelation(
                "rejected__scores", condition=Q(rejected__scores__round=scorer.pk)
            ),
        )
        .filter(of_chosen__isnull=False, of_rejected__isnull=False)
        .annotate(
            chosen_reward=F("of_chosen__reward"),
            rejected_reward=F("of_rejected__reward"),
            ahead=F("of_rejected__reward") - F("of_chosen__reward"),
            is_trained_on=Exists(frozen) & Q(comparison__prompt__is_held_out=False),
        )
    )


def only(pairs: Annotated, where: str) -> Annotated:
    """Those of ``pairs`` that lie ``where`` (one of WHERE); all for any other word."""
    if where == "held_out":
        return pairs.filter(comparison__prompt__is_held_out=True)
    if where == "trained_on":
        return pairs.filter(is_trained_on=True)
    if where == "neither":
        return pairs.filter(is_trained_on=False, comparison__prompt__is_held_out=False)
    return pairs


def told(project: Project, scorer: Round) -> list[ScoredPair]:
    """The same as plain numbers."""
    rows = settled(project, scorer).values_list(
        "ahead", "comparison__prompt__is_held_out", "is_trained_on", "comparison__prompt__tags"
    )
    return [
        ScoredPair(
            margin=-ahead,
            is_held_out=is_held_out,
            is_trained_on=is_trained_on,
            tags=[str(tag) for tag in tags if tag] if isinstance(tags, list) else (),
        )
        for ahead, is_held_out, is_trained_on, tags in rows
    ]


def votes_on(pairs: list[PreferencePair]) -> dict[int, tuple[int, int]]:
    """For each pair's comparison, how many raters chose the chosen answer, and how many judged."""
    chosen_side = {
        pair.comparison_id: "a" if pair.chosen_id == pair.comparison.a_id else "b"
        for pair in pairs
        if pair.kind == PreferencePair.Kind.VOTE
    }
    rows = (
        Judgement.objects.counted()
        .filter(comparison__in=list(chosen_side))
        .values_list("comparison", "outcome")
        .annotate(count=Count("pk"))
    )
    votes = dict.fromkeys(chosen_side, (0, 0))
    for comparison, outcome, count in rows:
        wins, total = votes[comparison]
        won = count if outcome == chosen_side[comparison] else 0
        votes[comparison] = (wins + won, total + count)
    return votes


# --- side by side ---


@dataclasses.dataclass(frozen=True)
class Beside:
    """One scorer among those that are measured on the same held-out pairs.

    ``as_trained``: by the last held-out figure of its own training, on its own snapshot.
    """

    scorer: Round
    name: str
    share: WinRate
    as_trained: WinRate | None


def counterpart(scorer: Round) -> Round | None:
    """The other kind of scorer to hold it against: of the same snapshot, else the newest."""
    kind = Round.Kind.DPO if scorer.kind == Round.Kind.REWARD else Round.Kind.REWARD
    others = scorers(scorer.project).filter(kind=kind)
    return others.filter(snapshot=scorer.snapshot_id).first() or others.first()


def rewards_beside(round_: Round) -> list[Beside]:
    """For a finished round's page: its reward beside the other kind's, where there is one."""
    if round_.state != Round.State.SUCCEEDED or round_.kind not in KINDS:
        return []
    other = counterpart(round_)
    return side_by_side(round_.project, [round_, other]) if other else []


def side_by_side(project: Project, chosen: list[Round]) -> list[Beside]:
    """Each scorer's share of held-out pairs on which it agrees with the raters.

    Only pairs that all of them have scored count, so that the shares can be compared.
    """
    margins: list[dict[int, float]] = []
    for scorer in chosen:
        held_out = only(settled(project, scorer), "held_out")
        margins.append({pk: -ahead for pk, ahead in held_out.values_list("pk", "ahead")})
    common = set.intersection(*map(set, margins)) if margins else set()
    return [
        Beside(scorer, name_of(scorer), right(own[pk] for pk in common), as_trained(scorer))
        for scorer, own in zip(chosen, margins, strict=True)
    ]


def as_trained(scorer: Round) -> WinRate | None:
    """What the training reported last of its held-out pairs; None where none were held out."""
    count = int(scorer.snapshot.counts.get("held_out") or 0)
    last = scorer.metrics.filter(name="held_out/reward_accuracy").order_by("-step").first()
    if last is None or not count:
        return None
    wins = round(last.value * count)
    return WinRate(wins, count - wins)
