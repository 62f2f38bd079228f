"""Merged models: asked for, made by the engine, and removed again."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import User
from training.afterwards.card import write_card
from training.afterwards.models import HubPush, Merge
from training.claims import claim
from training.engine.config import (
    EXIT_STOPPED,
    MergeJob,
    Model,
    job_from_dict,
    job_to_dict,
    write_job,
)
from training.engine_process import Progress, Wish, log_tail, run_engine
from training.errors import NotNow
from training.models import Job, Round
from training.nudge import nudge
from training.versions import code_version

logger = logging.getLogger(__name__)
Stopping = Callable[[], bool]


def newest_merge(round_: Round) -> Merge | None:
    """The last one that was asked for and is not removed."""
    return round_.merges.filter(removed_at=None).first()


def merged_folder(round_: Round) -> Path | None:
    """Where the merged model lies; None where there is none."""
    found = round_.merges.filter(state=Job.State.SUCCEEDED, removed_at=None).first()
    return found.folder if found is not None and found.folder.is_dir() else None


def start_merge(*, round_: Round, requested_by: User | None = None) -> Merge:
    """Queue the merging of a round's adapter. Raises NotNow where there is nothing to merge."""
    policy = round_.policy
    if policy is None:
        raise NotNow(_("Only a round that has succeeded has an adapter to merge."))
    if merged_folder(round_) is not None:
        raise NotNow(_("The merged model is there already."))
    job = MergeJob(
        model=Model(
            base=policy.base_model,
            revision=policy.base_revision or None,
            trust_remote_code=settings.TRUST_REMOTE_CODE,
        ),
        adapter=policy.adapter_path,
    )
    try:
        with transaction.atomic():
            made = Merge.objects.create(
                round=round_,
                requested_by=requested_by,
                config=job_to_dict(job),
                code_version=code_version(),
            )
            transaction.on_commit(lambda: nudge(made))
    except IntegrityError as error:
        raise NotNow(_("The model is being merged already.")) from error
    return made


def remove_merged(*, round_: Round) -> int:
    """Delete the files of a round's merged models; the adapter stays. Returns the bytes freed.

    Raises NotNow while one of them is on its way to a hub.
    """
    if round_.pushes.filter(what=HubPush.What.MERGED, state__in=Job.UNFINISHED).exists():
        raise NotNow(_("The merged model is on its way to the hub; remove it when that is done."))
    freed = 0
    for merge in round_.merges.filter(removed_at=None).exclude(state__in=Job.UNFINISHED):
        Merge.objects.filter(pk=merge.pk).update(removed_at=timezone.now())
        if merge.run_dir:
            freed += sum(p.stat().st_size for p in merge.folder.rglob("*") if p.is_file())
            shutil.rmtree(merge.run_dir, ignore_errors=True)
    return freed


def run_merge(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Have the engine merge; record why, where that fails."""
    claimed = claim(Merge, pk)
    if claimed is None:
        return
    merge, held = claimed
    run_dir = Path(
        merge.run_dir or settings.RUNS_DIR / f"merge-{merge.pk}-{merge.created_at:%Y%m%d-%H%M%S}"
    )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        held.update(run_dir=str(run_dir))
        write_job(_job_of(merge), run_dir)

        def follow(progress: Progress) -> Wish:
            alive = held.update(phase=progress.phase)
            return "stop" if stopping() or not alive or _is_cancelled(pk) else "go on"

        ending = run_engine(kind="merge", run_dir=run_dir, follow=follow)
        if ending.result is not None:
            write_card(merge.round, run_dir / "merged", what="merged")
            held.end(Job.State.SUCCEEDED, result=ending.result, error="")
        elif _is_cancelled(pk):
            held.end(Job.State.CANCELLED)
        elif ending.status == EXIT_STOPPED or stopping():
            held.hand_back()
        else:
            held.end(Job.State.FAILED, error=ending.words(), log_tail=log_tail(run_dir))
    except Exception as error:
        logger.exception("%s", merge)
        held.end(Job.State.FAILED, error=f"{type(error).__name__}: {error}")
        raise


def _job_of(merge: Merge) -> MergeJob:
    job = job_from_dict(merge.config)
    if not isinstance(job, MergeJob):
        raise TypeError(job)
    return job


def _is_cancelled(pk: int) -> bool:
    return Merge.objects.filter(pk=pk, cancel_requested_at__isnull=False).exists()
