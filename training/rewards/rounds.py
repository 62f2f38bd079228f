"""Reward rounds: a Bradley-Terry reward model trained from a round's snapshot.

A round of its own kind. It makes no policy: nothing samples it, no gate knows it, and no round
goes on from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotate.models import Policy, Project, User
from training import artifacts
from training.claims import Claim
from training.engine.config import ConfigError, RewardJob, job_from_dict, job_to_dict
from training.errors import NotNow
from training.models import Round, Snapshot
from training.nudge import nudge
from training.pool import ensure_base, loop_of
from training.snapshots import freeze_snapshot
from training.versions import code_version

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

    It goes on from ``start`` (None: the base model), with a head of its own. Raises NotNow, in
    words, where that cannot be.
    """
    unfinished = project.rounds.filter(state__in=Round.UNFINISHED).first()
    if unfinished is not None:
        words = _("Round %(number)s has not finished yet.")
        raise NotNow(words % {"number": unfinished.number})
    base = ensure_base(project=project)
    start = start or base
    if start.base_model != base.base_model or start.base_revision != base.base_revision:
        words = _("%(name)s stands on another base model than the project's.")
        raise NotNow(words % {"name": start.slug})
    number = (project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1
    wished = loop_of(project).round_config
    shared = {name: wished[name] for name in SHARED if name in wished}
    job = reward_job(start=start, seed=number, overrides={**shared, **(config or {})})
    snapshot = snapshot or freeze_snapshot(project=project)
    try:
        with transaction.atomic():
            made = Round.objects.create(
                project=project,
                number=number,
                kind=Round.Kind.REWARD,
                requested_by=requested_by,
                snapshot=snapshot,
                start=start,
                reference=base,
                seed=number,
                config=job_to_dict(job),
                code_version=code_version(),
            )
            transaction.on_commit(lambda: nudge(made))
    except IntegrityError as error:
        raise NotNow(_("Another round was started a moment ago.")) from error
    return made


def reward_job(*, start: Policy, seed: int, overrides: dict[str, Any]) -> RewardJob:
    """The engine's job. Raises NotNow naming the setting that is wrong."""
    try:
        job = job_from_dict(
            {
                **overrides,
                "kind": "reward",
                "model": {
                    "base": start.base_model,
                    "revision": start.base_revision or None,
                    "trust_remote_code": settings.TRUST_REMOTE_CODE,
                },
                "start_adapter": start.adapter_path or None,
                "seed": seed,
            }
        )
    except ConfigError as error:
        words = _("The round's settings do not fit: %(error)s.")
        raise NotNow(words % {"error": error}) from error
    assert isinstance(job, RewardJob)  # noqa: S101 - the kind says so
    return job


def adopt(*, job: Round, claim: Claim, run_dir: Path, result: dict[str, Any]) -> Path | None:
    """Publish the reward model. None where the claim no longer holds.

    Its folder appears by rename under a name that no other round can have.
    """
    digest = str(result["adapter_sha256"])
    name = f"{job.project.slug}-reward-{job.number}-{digest[:12]}"
    expected = {artifacts.WEIGHTS: digest}
    artifacts.publish(run_dir / "adapter", f"adapters/{name}", expected=expected)
    published = settings.ADAPTERS_DIR / name
    kept = {key: value for key, value in result.items() if key != "provenance"}
    ended = claim.end(
        Round.State.SUCCEEDED,
        reward_adapter=str(published),
        result=kept,
        provenance=result.get("provenance", {}),
        error="",
    )
    artifacts.drop_checkpoints(run_dir.name)
    return published if ended else None
