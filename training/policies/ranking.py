"""A project's ranking: its votes as numbers, the fits on them, and what a page or a file shows.

The mathematics is in ``training.stats.bradley_terry``. A ranking is kept until a vote changes;
where it takes long to make, also a little beyond that, so that looking at it often stays cheap.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from django.core.cache import cache
from django.db.models import Count, Max
from django.db.models.functions import Length
from django.utils import timezone

from annotate.models import Comparison, Judgement, Policy, Project
from training.stats.bradley_terry import (
    POINTS,
    Estimated,
    Fit,
    Indices,
    Votes,
    fit,
    inverse_propensity,
    linked,
    win_chance,
)
from training.stats.win_rates import WinRate

CUTS = 8
TREND_FROM = 10
"""A policy's line begins once it has this many votes."""
TAG_FROM = 50
MOST_TAGS = 8
VOTES_A_CELL = 20
"""Prompts are told apart by tag in the weights only where cells hold this many on average."""
KEPT_SECONDS = 24 * 3600
KEPT_TIMES_ITS_COST = 20
"""A ranking that took a second may be shown for twenty, though votes have come in since."""


@dataclasses.dataclass(frozen=True)
class Rated:
    """One policy: its points against the mean or another policy, and what they are made from."""

    pk: int
    slug: str
    state: str
    points: Estimated
    place: int
    """1 plus the number of policies that are surely better."""
    share: WinRate
    versus_champion: float | None
    """Of the votes that one of both would win, the share that is this policy's."""

    @property
    def votes(self) -> int:
        return self.share.decided + self.share.undecided


@dataclasses.dataclass(frozen=True)
class Moment:
    """The points of the policies as they stood after ``votes`` votes."""

    votes: int
    at: datetime
    points: dict[str, float]


@dataclasses.dataclass(frozen=True)
class TagRow:
    """The points of the policies on the prompts with one tag; None where they cannot be told."""

    tag: str
    votes: int
    points: list[Estimated | None]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Everything that is shown. ``rated`` is in order, the best first."""

    made_at: datetime
    votes: int
    raters: int
    rated: list[Rated]
    unlinked: list[str]
    """Policies with votes that no chain of comparisons links to the rated ones."""
    matrix: list[list[WinRate | None]]
    """Rows against columns, both in the order of ``rated``."""
    against: str | None
    length_controlled: bool
    clustered_by_rater: bool = True
    left: Estimated | None = None
    """Of votes on equal answers with a winner, the share that goes to the one on the left."""
    twice: Estimated | None = None
    """The same for an answer that is twice as long as the other."""
    tied: float = 0.0
    trend: list[Moment] = dataclasses.field(default_factory=list)
    trend_against: str = ""
    tags: list[TagRow] = dataclasses.field(default_factory=list)


def ranking_of(
    project: Project,
    *,
    against: str | None = None,
    control_length: bool = True,
    rater_weights: Mapping[int, float] | None = None,
) -> Ranking:
    """The project's ranking, made again where votes have changed since it was last asked for.

    ``against``: the slug of the policy that has no points; unknown ones, like None, mean the
    mean of all. ``rater_weights``: by the rater's key; a rater who is absent counts as 1.
    """
    state = _state(project)
    asked = f"{against} {control_length} {sorted((rater_weights or {}).items())}"
    digest = hashlib.sha256(asked.encode()).hexdigest()[:16]
    key = f"ranking-{project.pk}-{digest}"
    cached: tuple[str, float, float, Ranking] | None = cache.get(key)
    now = time.time()
    if cached is not None:
        of_state, made, cost, ranking = cached
        if of_state == state or now - made < KEPT_TIMES_ITS_COST * cost - 1:
            return ranking
    ranking = _make(project, against, control_length, rater_weights or {})
    cache.set(key, (state, now, time.time() - now, ranking), KEPT_SECONDS)
    return ranking


def _votes(project: Project) -> Any:
    """All that count but gold, which everybody judges, and what a reward picked: that one policy
    seldom wins clearly among answers that are hard to tell apart says nothing about it."""
    counted = Judgement.objects.counted().filter(project=project, comparison__picked="")
    return counted.exclude(comparison__purpose=Comparison.Purpose.GOLD)


def _state(project: Project) -> str:
    """Changes whenever a vote does, or a policy's state."""
    judged = _votes(project).aggregate(count=Count("pk"), last=Max("pk"), at=Max("decided_at"))
    policies = sorted(project.policies.values_list("pk", "state"))
    return f"{judged} {policies}"


# --- the votes as numbers ---


@dataclasses.dataclass(frozen=True)
class _Table:
    """The votes as they come from the database, oldest first; policies by their keys."""

    votes: Votes
    at: list[datetime]
    tags: Mapping[int, Sequence[str]]


def _read(project: Project, rater_weights: Mapping[int, float]) -> _Table:
    rows = list(
        _votes(project)
        .order_by("decided_at", "pk")
        .values_list(
            "comparison__a__policy",
            "comparison__b__policy",
            "outcome",
            "swapped",
            "rater",
            "comparison__prompt",
            Length("comparison__a__text"),
            Length("comparison__b__text"),
            "decided_at",
        )
    )
    prompts = {
        pk: (is_held_out, [str(tag) for tag in tags if tag] if isinstance(tags, list) else [])
        for pk, is_held_out, tags in project.prompts.values_list("pk", "is_held_out", "tags")
    }
    a, b, outcome, swapped, rater, prompt, long_a, long_b, at = zip(*rows, strict=True)
    value = {Judgement.Outcome.A: 1, Judgement.Outcome.B: -1}
    lengths = np.array([long_a, long_b], dtype=float)
    votes = Votes(
        a=np.array(a),
        b=np.array(b),
        outcome=np.array([value.get(item, 0) for item in outcome]),
        left=np.where(swapped, -1.0, 1.0),
        longer=(lengths[0] - lengths[1]) / np.maximum(1.0, lengths.sum(0)),
        rater=np.array(rater),
        prompt=np.array(prompt),
        weight=np.array([rater_weights.get(item, 1.0) for item in rater]),
    )
    weight = votes.weight * _against_favourites(votes, prompts)
    tags = {pk: tags for pk, (_, tags) in prompts.items()}
    return _Table(dataclasses.replace(votes, weight=weight), list(at), tags)


def _against_favourites(
    votes: Votes, prompts: Mapping[int, tuple[bool, Sequence[str]]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weights under which every two policies count as if they had met as often as any others,
    on each kind of prompt as often as there are such prompts.

    Kinds are held-out or not and the first tag, the latter where there are votes enough. What a
    policy's answers say against each other counts as it comes.
    """
    apart = votes.a != votes.b
    if not apart.any():
        return np.ones(len(votes))
    pairs = [
        (min(first, other), max(first, other))
        for first, other in zip(votes.a[apart].tolist(), votes.b[apart].tolist(), strict=True)
    ]
    asked = votes.prompt[apart].tolist()
    for depth in (2, 1):
        kinds = {
            pk: (is_held_out, tags[0] if tags else "")[:depth]
            for pk, (is_held_out, tags) in prompts.items()
        }
        cells = [(pair, kinds[pk]) for pair, pk in zip(pairs, asked, strict=True)]
        if len(cells) >= VOTES_A_CELL * len(set(cells)):
            break
    names = sorted(set(cells))
    number = {name: index for index, name in enumerate(names)}
    sizes = Counter(kinds.values())
    wanted = np.array([sizes[kind] for _, kind in names], dtype=float)
    weights = np.ones(len(votes))
    weights[apart] = inverse_propensity(np.array([number[cell] for cell in cells]), wanted)
    return weights


# --- the fits ---


def _make(
    project: Project,
    against: str | None,
    control_length: bool,
    rater_weights: Mapping[int, float],
) -> Ranking:
    policies = {policy.pk: policy for policy in project.policies.order_by("pk")}
    empty = Ranking(timezone.now(), 0, 0, [], [], [], None, control_length)
    if not _votes(project).exists():
        return empty
    table = _read(project, rater_weights)
    fitted = _fit(table.votes, control_length)
    if fitted is None:
        return dataclasses.replace(empty, votes=len(table.votes))
    fit, keys, used = fitted
    slugs = {policies[key].slug: index for index, key in enumerate(keys)}
    anchor = slugs.get(against or "")
    shares = _shares(used)
    rated = _rated(fit, [policies[key] for key in keys], shares, anchor)
    order = [keys.index(rated_policy.pk) for rated_policy in rated]
    first = against if anchor is not None and against else policies[keys[0]].slug
    voted = set(table.votes.a.tolist()) | set(table.votes.b.tolist())
    length = fit.length
    return Ranking(
        made_at=timezone.now(),
        votes=len(used),
        raters=fit.raters,
        rated=rated,
        unlinked=[policies[key].slug for key in sorted(voted - set(keys))],
        matrix=[
            [None if row == column else shares.get((row, column)) for column in order]
            for row in order
        ],
        against=against if anchor is not None else None,
        length_controlled=control_length,
        clustered_by_rater=fit.clustered_by_rater,
        left=_as_chance(fit.side, fit.tie, 1.0),
        twice=_as_chance(length, fit.tie, 1 / 3) if length is not None else None,
        tied=float((used.outcome == 0).mean()),
        trend=_trend(table, policies, keys[slugs[first]], control_length),
        trend_against=first,
        tags=_tags(
            table,
            [rated_policy.pk for rated_policy in rated],
            None if anchor is None else keys[anchor],
            control_length,
        ),
    )


def _fit(votes: Votes, control_length: bool) -> tuple[Fit, list[int], Votes] | None:
    """The fit on the largest linked group, its policies' keys in order, and its votes."""
    groups = linked(votes.a.tolist(), votes.b.tolist())
    if not groups or len(groups[0]) < 2:
        return None
    keys = sorted(groups[0])
    inside = np.isin(votes.a, keys) & np.isin(votes.b, keys)
    used = votes.where(inside)
    used = dataclasses.replace(
        used, a=np.searchsorted(keys, used.a), b=np.searchsorted(keys, used.b)
    )
    return fit(used, len(keys), control_length=control_length), keys, used


def _shares(votes: Votes) -> dict[tuple[int, int], WinRate]:
    """By (one, other): how often one won against the other, as it was voted."""
    counts = Counter(zip(votes.a.tolist(), votes.b.tolist(), votes.outcome.tolist(), strict=True))
    shares: dict[tuple[int, int], WinRate] = defaultdict(lambda: WinRate(0, 0))
    for (a, b, outcome), count in counts.items():
        if a == b:
            continue
        won, lost = count * (outcome > 0), count * (outcome < 0)
        tied = count - won - lost
        shares[a, b] += WinRate(won, lost, tied)
        shares[b, a] += WinRate(lost, won, tied)
    return dict(shares)


def _rated(
    fit: Fit,
    policies: Sequence[Policy],
    shares: Mapping[tuple[int, int], WinRate],
    anchor: int | None,
) -> list[Rated]:
    indices = range(fit.policies)
    champion = next(
        (index for index in indices if policies[index].state == Policy.State.CHAMPION), None
    )
    better = {
        place: sum(
            fit.strength(other, against=place).low > 0 for other in indices if other != place
        )
        for place in indices
    }
    rows = [
        Rated(
            pk=policies[place].pk,
            slug=policies[place].slug,
            state=policies[place].state,
            points=_in_points(fit.strength(place, against=anchor)),
            place=1 + better[place],
            share=sum(
                (share for (mine, _), share in shares.items() if mine == place), start=WinRate(0, 0)
            ),
            versus_champion=None
            if champion is None or champion == place
            else win_chance(fit.strength(place, against=champion).value, fit.tie),
        )
        for place in indices
    ]
    return sorted(rows, key=lambda row: -row.points.value)


def _in_points(strength: Estimated) -> Estimated:
    return Estimated(POINTS * strength.value, POINTS * strength.low, POINTS * strength.high)


def _as_chance(effect: Estimated, tie: float, times: float) -> Estimated:
    return Estimated(
        *(win_chance(times * end, tie) for end in (effect.value, effect.low, effect.high))
    )


def _trend(
    table: _Table, policies: Mapping[int, Policy], anchor: int, control_length: bool
) -> list[Moment]:
    """Points against the anchor, after more and more votes."""
    total = len(table.votes)
    ends = sorted({round(total * cut / CUTS) for cut in range(1, CUTS + 1)} - {0})
    moments = []
    for end in ends:
        so_far = table.votes.where(np.arange(total) < end)
        fitted = _fit(so_far, control_length)
        if fitted is None or anchor not in fitted[1]:
            continue
        fit, keys, used = fitted
        apart = used.a != used.b
        counts: Indices = np.bincount(
            np.concatenate([used.a[apart], used.b[apart]]), minlength=len(keys)
        )
        points = {
            policies[key].slug: POINTS * fit.strength(index, against=keys.index(anchor)).value
            for index, key in enumerate(keys)
            if counts[index] >= TREND_FROM
        }
        moments.append(Moment(end, table.at[end - 1], points))
    return moments


def _tags(
    table: _Table,
    order: Sequence[int],
    against: int | None,
    control_length: bool,
) -> list[TagRow]:
    """The tags with the most votes, each with a fit of its own."""
    asked = table.votes.prompt.tolist()
    counts = Counter(tag for prompt in asked for tag in set(table.tags.get(prompt, ())))
    rows = []
    for tag, count in counts.most_common(MOST_TAGS):
        if count < TAG_FROM:
            break
        tagged = np.array([tag in table.tags.get(prompt, ()) for prompt in asked])
        fitted = _fit(table.votes.where(tagged), control_length)
        if fitted is None:
            continue
        fit, keys, _ = fitted
        if against is not None and against not in keys:
            continue
        anchor = None if against is None else keys.index(against)
        points = [
            _in_points(fit.strength(keys.index(key), against=anchor)) if key in keys else None
            for key in order
        ]
        rows.append(TagRow(tag, count, points))
    return rows
