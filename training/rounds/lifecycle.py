"""Rounds: when one may start, what it trains on, and what becomes of its result."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from annotate.models import Policy, Project, User
from training.engine.config import ADAPTER_WEIGHTS, job_to_dict
from training.errors import Refused
from training.jobs.claims import Claim
from training.jobs.dispatch import dispatch
from training.models import PlanWindow, Round, Snapshot, loop_of
from training.policies.pool import ensure_base
from training.rounds.recipes import Recipe, job_of, recipe_of, reference_of, start_of
from training.rounds.snapshots import count_pairs, freeze_snapshot
from training.sampling import refill
from training.storage import artifacts
from training.storage.checkpoints import drop_checkpoints, fetch_checkpoint
from training.storage.code_version import code_version

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class RoundPlan:
    """What the next round would be, and why it cannot start, where it cannot."""

    number: int
    pairs: int
    new_pairs: int
    held_out: int
    start: Policy | None = None
    reference: Policy | None = None
    reason: str | None = None


def plan(project: Project, recipe: Recipe | None = None) -> RoundPlan:
    """The next round as it would be if it were started now. Changes nothing but the base policy.

    Without a ``recipe`` it is as the project says.
    """
    wish = recipe or recipe_of(loop_of(project))
    train, new, held_out = count_pairs(project, wish.selection)
    planned = RoundPlan(
        number=(project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1,
        pairs=train,
        new_pairs=new,
        held_out=held_out,
    )
    unfinished = project.rounds.filter(state__in=Round.UNFINISHED).first()
    if unfinished is not None:
        reason = (
            _("Round %(number)s is paused. Resume it or cancel it first.")
            if unfinished.state == Round.State.PAUSED
            else _("Round %(number)s has not finished yet.")
        ) % {"number": unfinished.number}
        return dataclasses.replace(planned, reason=reason)
    try:
        base = ensure_base(project=project)
        start = start_of(project, base, wish.start)
    except Refused as error:
        return dataclasses.replace(planned, reason=str(error))
    reason = ""
    if not planned.pairs and wish.selection.is_all:
        reason = _("There are no preference pairs to train on yet. Judge some comparisons first.")
    elif not planned.pairs:
        reason = _("No pair to train on passes the round's filter. Widen it.")
    return dataclasses.replace(
        planned,
        start=start,
        reference=reference_of(project, base, start, wish.reference),
        reason=reason or None,
    )


def start_round(
    *,
    project: Project,
    requested_by: User | None = None,
    trigger: str = Round.Trigger.BUTTON,
    recipe: Recipe | None = None,
    window: PlanWindow | None = None,
    estimate: dict[str, Any] | None = None,
    snapshot: Snapshot | None = None,
) -> Round:
    """Freeze a snapshot and queue a round on it, or on ``snapshot``.

    Without a ``recipe`` it is as the project says. ``window``: the plan's time that calls for
    it. Raises Refused, in words, where a round cannot start or a setting is wrong.
    """
    wish = recipe or recipe_of(loop_of(project))
    planned = plan(project, wish)
    if planned.reason is not None or planned.start is None or planned.reference is None:
        raise Refused(planned.reason or _("A round cannot start yet."))
    seed = planned.number if wish.seed is None else wish.seed
    job = job_of(
        kind=wish.kind,
        start=planned.start,
        reference=planned.reference,
        seed=seed,
        wishes=wish.settings,
    )
    if snapshot is None:
        snapshot = freeze_snapshot(project=project, selection=wish.selection, seed=seed)
    stored = wish.as_dict() | ({"estimate": estimate} if estimate else {})
    try:
        with transaction.atomic():
            made = Round.objects.create(
                project=project,
                number=planned.number,
                kind=wish.kind,
                trigger=trigger,
                requested_by=requested_by,
                snapshot=snapshot,
                start=planned.start,
                reference=planned.reference,
                seed=seed,
                config=job_to_dict(job),
                code_version=code_version(),
                recipe=stored,
                window=window,
            )
            transaction.on_commit(lambda: dispatch(made))
    except IntegrityError as error:
        raise Refused(_("Another round was started a moment ago.")) from error
    return made


def prepare(*, job: Round, run_dir: Path) -> None:
    """Put the snapshot's bytes into the run directory, and the checkpoint to go on from."""
    target = run_dir / "pairs.jsonl"
    if not target.exists():
        temporary = run_dir / "pairs.part"
        shutil.copyfile(job.snapshot.file, temporary)
        temporary.replace(target)
    fetch_checkpoint(run_dir)


def adopt(*, job: Round, claim: Claim, run_dir: Path, result: dict[str, Any]) -> bool:
    """Publish what a round has made: a policy's adapter, which joins the pool as a candidate, or
    a reward model, which joins nothing. False where the claim no longer holds.

    The adapter's folder appears by rename under a name that no other round can have, and only
    if its weights are those that the engine wrote.
    """
    digest = str(result["adapter_sha256"])
    kind = "reward" if job.kind == Round.Kind.REWARD else "round"
    name = f"{job.project.slug}-{kind}-{job.number}-{digest[:12]}"
    expected = {ADAPTER_WEIGHTS: digest}
    artifacts.publish(run_dir / "adapter", f"adapters/{name}", expected=expected)
    published = settings.ADAPTERS_DIR / name
    fields = {
        "result": {key: value for key, value in result.items() if key != "provenance"},
        "provenance": result.get("provenance", {}),
        "error": "",
    }
    if job.kind == Round.Kind.REWARD:
        held = claim.end(Round.State.SUCCEEDED, reward_adapter=str(published), **fields)
    else:
        held = _adopt_policy(job, claim, published, fields)
    if held:
        drop_checkpoints(run_dir.name)
    return held


def _adopt_policy(job: Round, claim: Claim, published: Path, fields: dict[str, Any]) -> bool:
    with transaction.atomic():
        policy = Policy.objects.create(
            project=job.project,
            slug=f"round-{job.number}",
            kind=Policy.Kind.ADAPTER,
            base_model=job.start.base_model,
            base_revision=job.start.base_revision,
            adapter_path=str(published),
            parent=job.start,
            state=Policy.State.CANDIDATE,
        )
        if not claim.end(Round.State.SUCCEEDED, policy=policy, **fields):
            transaction.set_rollback(True)
            return False
        try:
            refill.write_for_gate(policy=policy)
        except Refused as error:
            logger.info("%s: nothing to sample: %s", policy, error)
    return True
