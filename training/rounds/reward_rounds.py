"""Reward rounds: a Bradley-Terry reward model trained from a round's snapshot.

A round of its own kind. It makes no policy: nothing samples it, no gate knows it, and no round
goes on from it.
"""

from __future__ import annotations

from typing import Any

from annotate.models import Policy, Project, User
from training.models import Round, Snapshot, loop_of
from training.rounds import lifecycle
from training.rounds.recipes import BASE, Recipe

SHARED = ("lora", "optimisation", "precision", "load_in_4bit", "label_smoothing")
"""The project's own settings of a DPO job that a reward job takes over."""


def snapshot_at_hand(project: Project) -> Round | None:
    """The newest round of another kind: a reward model from its snapshot is measured on the same
    held-out pairs as its policy."""
    others = project.rounds.exclude(kind=Round.Kind.REWARD)
    return others.select_related("snapshot").order_by("-number").first()


def start_reward_round(
    *,
    project: Project,
    snapshot: Snapshot | None = None,
    start: Policy | None = None,
    requested_by: User | None = None,
    config: dict[str, Any] | None = None,
) -> Round:
    """Queue the training of a reward model on ``snapshot``; None: on all pairs as they are now.

    It goes on from ``start`` (None: the base model), with a head of its own. Raises Refused, in
    words, where that cannot be.
    """
    wished = loop_of(project).round_config
    shared = {name: wished[name] for name in SHARED if name in wished}
    recipe = Recipe(
        kind=Round.Kind.REWARD,
        start=start.slug if start is not None else BASE,
        reference=BASE,
        settings={**shared, **(config or {})},
    )
    return lifecycle.start_round(
        project=project, requested_by=requested_by, recipe=recipe, snapshot=snapshot
    )
