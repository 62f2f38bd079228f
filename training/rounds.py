"""Rounds: when one may start, what it trains on, and what becomes of its result."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import Policy, Project, User
from training import filling
from training.claims import Claim
from training.engine.config import ConfigError, DpoJob, SftJob, job_from_dict, job_to_dict
from training.errors import NotNow
from training.models import LoopSettings, Round
from training.nudge import nudge
from training.pool import ensure_base, loop_of
from training.snapshots import freeze_snapshot, usable_pairs
from training.versions import code_version

logger = logging.getLogger(__name__)
WATCH = {"answers": 8, "shown": 5, "max_new_tokens": 96}
"""What a round's policy writes at every evaluation, unless the project's settings say otherwise."""


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


def plan(project: Project) -> RoundPlan:
    """The next round as it would be if it were started now. Changes nothing but the base policy."""
    pairs = usable_pairs(project)
    held_out = pairs.filter(comparison__prompt__is_held_out=True).count()
    planned = RoundPlan(
        number=(project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1,
        pairs=pairs.count() - held_out,
        new_pairs=pairs.filter(frozen_at=None, comparison__prompt__is_held_out=False).count(),
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
    except NotNow as error:
        return dataclasses.replace(planned, reason=str(error))
    reason = ""
    if not planned.pairs:
        reason = _("There are no preference pairs to train on yet. Judge some comparisons first.")
    return dataclasses.replace(
        planned, start=_start_policy(project, base), reference=base, reason=reason or None
    )


def _start_policy(project: Project, base: Policy) -> Policy:
    """Where the next round goes on from, by the loop's settings."""
    wish = loop_of(project).start_from
    trained = Policy.objects.filter(
        project=project,
        kind=Policy.Kind.ADAPTER,
        base_model=base.base_model,
        base_revision=base.base_revision,
    ).exclude(state=Policy.State.RETIRED)
    if wish == LoopSettings.StartFrom.CHAMPION:
        return trained.filter(state=Policy.State.CHAMPION).first() or base
    if wish == LoopSettings.StartFrom.LATEST:
        return trained.order_by("-pk").first() or base
    return base


def start_round(
    *,
    project: Project,
    requested_by: User | None = None,
    trigger: str = Round.Trigger.BUTTON,
    config: dict[str, Any] | None = None,
) -> Round:
    """Freeze a snapshot and queue a round on it.

    ``config`` holds fields of a DPO job that differ from the project's. Raises NotNow, in
    words, where a round cannot start or a setting is wrong.
    """
    planned = plan(project)
    if planned.reason is not None or planned.start is None or planned.reference is None:
        raise NotNow(planned.reason or _("A round cannot start yet."))
    loop = loop_of(project)
    seed = planned.number
    job = dpo_job(
        start=planned.start,
        reference=planned.reference,
        seed=seed,
        overrides={**loop.round_config, **(config or {})},
    )
    snapshot = freeze_snapshot(project=project)
    try:
        with transaction.atomic():
            made = Round.objects.create(
                project=project,
                number=planned.number,
                trigger=trigger,
                requested_by=requested_by,
                snapshot=snapshot,
                start=planned.start,
                reference=planned.reference,
                seed=seed,
                config=job_to_dict(job),
                code_version=code_version(),
            )
            transaction.on_commit(lambda: nudge(made))
    except IntegrityError as error:
        raise NotNow(_("Another round was started a moment ago.")) from error
    return made


def dpo_job(
    *, start: Policy, reference: Policy, seed: int, overrides: dict[str, Any]
) -> DpoJob | SftJob:
    """The engine's job for a round. Raises NotNow naming the setting that is wrong."""
    try:
        job = job_from_dict(
            {
                "watch": WATCH,
                **overrides,
                "kind": "dpo",
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
        )
    except ConfigError as error:
        words = _("The round's settings do not fit: %(error)s.")
        raise NotNow(words % {"error": error}) from error
    if not isinstance(job, DpoJob):
        words = _("The round's settings do not fit: %(error)s.")
        raise NotNow(words % {"error": "kind"})
    return job


def prepare(*, job: Round, run_dir: Path) -> None:
    """Put the snapshot's bytes into the run directory."""
    target = run_dir / "pairs.jsonl"
    if not target.exists():
        temporary = run_dir / "pairs.part"
        shutil.copyfile(job.snapshot.file, temporary)
        temporary.replace(target)


def adopt(*, job: Round, claim: Claim, run_dir: Path, result: dict[str, Any]) -> Policy | None:
    """Publish the adapter and put its policy into the pool as a candidate.

    The adapter's folder appears by rename under a name that no other round can have. None
    where the claim no longer holds.
    """
    digest = str(result["adapter_sha256"])
    name = f"{job.project.slug}-round-{job.number}-{digest[:12]}"
    settings.ADAPTERS_DIR.mkdir(parents=True, exist_ok=True)
    published = settings.ADAPTERS_DIR / name
    if not published.exists():
        temporary = settings.ADAPTERS_DIR / f".{name}.{claim.attempt}.part"
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(run_dir / "adapter", temporary)
        temporary.rename(published)
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
        if not claim.end(Round.State.SUCCEEDED, policy=policy, result=result, error=""):
            transaction.set_rollback(True)
            return None
        try:
            filling.write_for_gate(policy=policy)
        except NotNow as error:
            logger.info("%s: nothing to sample: %s", policy, error)
    return policy


# --- the schedule ------------------------------------------------------------------------


def is_due(
    *,
    now: datetime,
    new_pairs: int,
    after_pairs: int | None,
    after_minutes: int | None,
    last_started: datetime | None,
) -> Literal["pairs", "time"] | None:
    """Whether the clock or the pairs call for a round. Without new pairs, nothing does."""
    if new_pairs == 0:
        return None
    if after_pairs and new_pairs >= after_pairs:
        return "pairs"
    if after_minutes and (
        last_started is None or now - last_started >= timedelta(minutes=after_minutes)
    ):
        return "time"
    return None


def start_due_rounds(*, now: datetime | None = None) -> list[Round]:
    """Start a round in every project that is due one."""
    now = now or timezone.now()
    started = []
    scheduled = LoopSettings.objects.select_related("project").filter(project__is_paused=False)
    for loop in scheduled:
        if not (loop.round_after_pairs or loop.round_after_minutes):
            continue
        planned = plan(loop.project)
        if planned.reason is not None:
            continue
        last = loop.project.rounds.order_by("-number").first()
        trigger = is_due(
            now=now,
            new_pairs=planned.new_pairs,
            after_pairs=loop.round_after_pairs,
            after_minutes=loop.round_after_minutes,
            last_started=last.created_at if last else None,
        )
        if trigger is None:
            continue
        try:
            started.append(start_round(project=loop.project, trigger=trigger))
        except NotNow as error:
            logger.info("project %s: no round: %s", loop.project.slug, error)
    return started
