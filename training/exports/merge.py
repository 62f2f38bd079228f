"""Merged models: asked for, and removed again."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.models import User
from training.engine.config import MergeJob, Model, job_to_dict
from training.errors import Refused
from training.jobs.dispatch import dispatch
from training.models import HubPush, Job, Merge, Round
from training.storage import artifacts
from training.storage.code_version import code_version

FOLDER = "merged"  # of a run directory, as the engine names it


def newest_merge(round_: Round) -> Merge | None:
    """The last one that was asked for and is not removed."""
    return round_.merges.filter(removed_at=None).first()


def merge_kept(round_: Round) -> Merge | None:
    """The merge whose model there is, on whatever machine; None where there is none."""
    merge = round_.merges.filter(state=Job.State.SUCCEEDED, removed_at=None).first()
    return merge if merge is not None and artifacts.has_made(merge.run, FOLDER) else None


def start_merge(*, round_: Round, requested_by: User | None = None) -> Merge:
    """Queue the merging of a round's adapter. Raises Refused where there is nothing to merge."""
    policy = round_.policy
    if policy is None:
        raise Refused(_("Only a round that has succeeded has an adapter to merge."))
    if merge_kept(round_) is not None:
        raise Refused(_("The merged model is there already."))
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
            transaction.on_commit(lambda: dispatch(made))
    except IntegrityError as error:
        raise Refused(_("The model is being merged already.")) from error
    return made


def remove_merged(*, round_: Round) -> int:
    """Delete the files of a round's merged models; the adapter stays. Returns the bytes freed.

    Raises Refused while one of them is on its way to a hub.
    """
    if round_.pushes.filter(what=HubPush.What.MERGED, state__in=Job.UNFINISHED).exists():
        raise Refused(_("The merged model is on its way to the hub; remove it when that is done."))
    freed = 0
    for merge in round_.merges.filter(removed_at=None).exclude(state__in=Job.UNFINISHED):
        Merge.objects.filter(pk=merge.pk).update(removed_at=timezone.now())
        if merge.run_dir:
            freed += int(merge.result.get("bytes", 0))
            artifacts.drop_made(merge.run, FOLDER)
            shutil.rmtree(merge.run_dir, ignore_errors=True)
    return freed
