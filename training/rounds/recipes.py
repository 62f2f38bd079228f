"""What a round is to be: its kind, where it starts, its reference, its pairs, its settings.

A recipe is what the form asks for and what a project keeps for the rounds that start by
themselves. Here it becomes policies and the engine's job.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from annotate.models import Policy, Project
from training.engine.config import KINDS, ConfigError, EngineJob, job_from_dict
from training.errors import Refused
from training.models import LoopSettings, Round
from training.rounds.pair_selection import ALL, PairSelection

WATCH = {"answers": 8, "shown": 5, "max_new_tokens": 96}
"""What a round's policy writes at every evaluation, unless the project's settings say otherwise."""
ANCHOR, BASE, START, CHAMPION = "anchor", "base", "start", "champion"
SET_HERE = {
    "model",
    "start_adapter",
    "reference_adapter",
    "reference_cache",
    "seed",
}
"""Fields of a job that follow from the round, not from settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """``start``: base, champion, latest, or a policy's slug. ``reference``: anchor (the warm-up
    that the start descends from, or else the base), base, start or champion."""

    kind: str = Round.Kind.DPO
    start: str = LoopSettings.StartFrom.LATEST
    reference: str = ANCHOR
    selection: PairSelection = ALL
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    processes: int = 1
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For a round's row; its settings are in its job."""
        return {
            "start": self.start,
            "reference": self.reference,
            "selection": self.selection.as_dict(),
            "processes": self.processes,
        }


def recipe_of(loop: LoopSettings) -> Recipe:
    """What the project says."""
    stored = loop.round_recipe
    return Recipe(
        kind=stored.get("kind", Round.Kind.DPO),
        start=loop.start_from,
        reference=stored.get("reference", ANCHOR),
        selection=PairSelection.from_dict(stored.get("selection", {})),
        settings=loop.round_config,
        processes=stored.get("processes", 1),
    )


def keep_recipe(loop: LoopSettings, recipe: Recipe) -> None:
    """Let rounds that start by themselves be like this one. Raises Refused for a start by name."""
    if recipe.start not in LoopSettings.StartFrom.values:
        raise Refused(
            _(
                "Rounds that start automatically can start from the base model, the champion "
                "or the latest policy; choose one of these, or do not save the settings."
            )
        )
    loop.start_from = recipe.start
    loop.round_config = dict(recipe.settings)
    loop.round_recipe = {
        "kind": recipe.kind,
        "reference": recipe.reference,
        "selection": recipe.selection.as_dict(),
        "processes": recipe.processes,
    }
    loop.save(update_fields=["start_from", "round_config", "round_recipe"])


def startable(project: Project, base: Policy) -> list[Policy]:
    """Trained policies of this base that a round can go on from, the newest first."""
    policies = Policy.objects.filter(
        project=project,
        kind=Policy.Kind.ADAPTER,
        base_model=base.base_model,
        base_revision=base.base_revision,
    )
    return list(policies.order_by("-pk"))


def start_of(project: Project, base: Policy, wish: str) -> Policy:
    """Where a round goes on from. Raises Refused where ``wish`` names nobody of this base."""
    if wish == BASE:
        return base
    trained = startable(project, base)
    in_pool = [policy for policy in trained if policy.state != Policy.State.RETIRED]
    if wish == LoopSettings.StartFrom.CHAMPION:
        return next((policy for policy in in_pool if policy.state == Policy.State.CHAMPION), base)
    if wish == LoopSettings.StartFrom.LATEST:
        return next(iter(in_pool), base)
    named = next((policy for policy in trained if policy.slug == wish), None)
    if named is None:
        message = _("There is no policy %(name)s of the current base model to start from.")
        raise Refused(message % {"name": wish})
    return named


def reference_of(project: Project, base: Policy, start: Policy, wish: str) -> Policy:
    """What the loss compares with. The champion counts only where it is of the same base."""
    if wish == START:
        return start
    if wish == CHAMPION:
        return start_of(project, base, LoopSettings.StartFrom.CHAMPION)
    if wish == ANCHOR:
        return _warm_up_of(start) or base
    return base


def _warm_up_of(policy: Policy) -> Policy | None:
    """The newest SFT policy among ``policy`` and those it descends from."""
    seen: set[int] = set()
    ancestor: Policy | None = policy
    while ancestor is not None and ancestor.pk not in seen:
        seen.add(ancestor.pk)
        if Round.objects.filter(policy=ancestor, kind=Round.Kind.SFT).exists():
            return ancestor
        ancestor = ancestor.parent
    return None


def job_of(
    *, kind: str, start: Policy, reference: Policy, seed: int, wishes: Mapping[str, Any]
) -> EngineJob:
    """The engine's job for a round. Raises Refused naming the setting that is wrong.

    Of a project's settings, those that only another kind of round has are passed over; what no
    kind has is refused.
    """
    fields = {field.name for field in dataclasses.fields(KINDS[kind])}
    elsewhere = {
        field.name
        for other in Round.Kind.values
        if other in KINDS
        for field in dataclasses.fields(KINDS[other])
    }
    own = {n: value for n, value in wishes.items() if n in fields or n not in elsewhere}
    mine = {
        "model": {
            "base": start.base_model,
            "revision": start.base_revision or None,
            "trust_remote_code": settings.TRUST_REMOTE_CODE,
        },
        "start_adapter": start.adapter_path or None,
        "reference_adapter": reference.adapter_path or None,
        "reference_cache": str(settings.REFERENCE_CACHE_DIR),
        "seed": seed,
    }
    try:
        return job_from_dict(
            {
                **({"watch": WATCH} if "watch" in fields else {}),
                **own,
                **{name: value for name, value in mine.items() if name in fields},
                "kind": kind,
            }
        )
    except ConfigError as error:
        message = _("The round's settings are not valid: %(error)s.")
        raise Refused(message % {"error": error}) from error
