"""A job from claim to end: what a worker does with a round or a sampling job.

Knows nothing of Celery; ``stopping`` tells whether the worker was asked to leave.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError

from training import artifacts, best_of, machines, pausing, rounds, sampling
from training.afterwards import merging
from training.afterwards.card import write_card, write_published_card
from training.afterwards.models import Merge
from training.claims import AnyJob, Claim, beating, claim
from training.engine.config import EXIT_STOPPED, job_from_dict, write_job
from training.engine_process import Ending, Progress, Tail, Wish, log_tail, run_engine
from training.gates import pair_up
from training.models import Job, Metric, Round, SamplingJob
from training.nudge import nudge
from training.observing import Observer
from training.rewards import kept as kept_scores
from training.rewards import scoring
from training.rewards.models import ScoringJob

logger = logging.getLogger(__name__)
PAIR_EVERY_SECONDS = 20.0

Stopping = Callable[[], bool]


def run_round(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Train a queued round and adopt its policy; record why, where that fails."""
    claimed = _claim(Round, pk)
    if claimed is None:
        return
    job, held, run_dir = claimed
    try:
        with beating(held):
            rounds.prepare(job=job, run_dir=run_dir)
        metrics = Tail(run_dir / "metrics.jsonl")
        kept = artifacts.newest_checkpoint(run_dir)
        observer = Observer(job, run_dir)

        def follow(progress: Progress) -> Wish:
            nonlocal kept
            _store_metrics(job, metrics.read())
            if (newest := artifacts.newest_checkpoint(run_dir)) != kept and newest:
                with beating(held, lease=run_dir / "lease"):
                    artifacts.publish_checkpoint(run_dir, newest)
                kept = newest
            return _beat(held, progress, stopping, **observer.news(progress.total_steps))

        ending = run_engine(
            kind=job.kind,
            run_dir=run_dir,
            follow=follow,
            attempt=held.attempt,
            processes=job.recipe.get("processes", 1),
            name=f"{job.project.slug} round {job.number}",
        )
        machines.note(run_dir)
        if ending.result is None:
            _record_ending(job, held, run_dir, ending, stopping)
            return
        with beating(held):
            if rounds.adopt(job=job, claim=held, run_dir=run_dir, result=ending.result):
                write_published_card(job)
    except Exception as error:
        _record_error(job, held, run_dir, error)
        raise


def run_sampling(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Have the engine write completions, store them as they come, and let them meet."""
    claimed = _claim(SamplingJob, pk)
    if claimed is None:
        return
    job, held, run_dir = claimed
    try:
        with beating(held):
            sampling.prepare(job=job, run_dir=run_dir)
        completions = Tail(run_dir / "completions.jsonl")
        paired_at = time.monotonic()

        def follow(progress: Progress) -> Wish:
            nonlocal paired_at
            if not sampling.store(job=job, claim=held, lines=list(completions.read())):
                return "lost"
            if time.monotonic() - paired_at > PAIR_EVERY_SECONDS:
                with beating(held, lease=run_dir / "lease"):
                    pair_up(project=job.project)
                paired_at = time.monotonic()
            return _beat(held, progress, stopping, total_known=True)

        ending = run_engine(kind="sample", run_dir=run_dir, follow=follow, attempt=held.attempt)
        machines.note(run_dir)
        if ending.result is not None and any(policy.best_of for policy in job.policies.all()):
            ending = _take_the_best(job, held, run_dir, follow, ending)
        pair_up(project=job.project)
        if ending.result is None:
            _record_ending(job, held, run_dir, ending, stopping)
        else:
            held.end(Job.State.SUCCEEDED, error="")
    except Exception as error:
        _record_error(job, held, run_dir, error)
        raise


def run_scoring(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Have the engine score completions, store their rewards as they come, and let them meet."""
    claimed = _claim(ScoringJob, pk)
    if claimed is None:
        return
    job, held, run_dir = claimed
    try:
        if not scoring.prepare(job=job, run_dir=run_dir):
            held.end(Job.State.SUCCEEDED, error="")
            return
        scores = Tail(run_dir / "scores.jsonl")

        def follow(progress: Progress) -> Wish:
            if not scoring.store(job=job, claim=held, lines=list(scores.read())):
                return "lost"
            return _beat(held, progress, stopping, total_known=True)

        kind = job.config["kind"]
        ending = run_engine(kind=kind, run_dir=run_dir, follow=follow, attempt=held.attempt)
        if ending.result is None:
            _record_ending(job, held, run_dir, ending, stopping)
        else:
            held.end(Job.State.SUCCEEDED, error="")
        pair_up(project=job.project)  # after a failure, too: then nothing waits for a reward
    except Exception as error:
        _record_error(job, held, run_dir, error)
        raise


def run_merge(pk: int, *, stopping: Stopping = lambda: False) -> None:
    """Have the engine merge an adapter into its base, and put a card beside the result."""
    claimed = _claim(Merge, pk)
    if claimed is None:
        return
    job, held, run_dir = claimed
    try:

        def follow(progress: Progress) -> Wish:
            return _beat(held, progress, stopping)

        ending = run_engine(kind="merge", run_dir=run_dir, follow=follow, attempt=held.attempt)
        if ending.result is None:
            _record_ending(job, held, run_dir, ending, stopping)
            return
        with beating(held):
            artifacts.publish_made(run_dir, merging.FOLDER)
            write_card(job.round, run_dir / merging.FOLDER, what="merged")
        held.end(Job.State.SUCCEEDED, result=ending.result, error="")
    except Exception as error:
        _record_error(job, held, run_dir, error)
        raise


def _take_the_best(
    job: SamplingJob,
    held: Claim,
    run_dir: Path,
    follow: Callable[[Progress], Wish],
    ending: Ending,
) -> Ending:
    """Store the best answers of best-of-n policies; how the engine ended that scored them."""
    chosen, unfinished = best_of.choose(job=job, run_dir=run_dir, follow=follow)
    sampling.store(job=job, claim=held, lines=chosen)
    kept_scores.keep(chosen)
    return unfinished or ending


def _claim(model: type[AnyJob], pk: int) -> tuple[AnyJob, Claim, Path] | None:
    claimed = claim(model, pk)
    if claimed is None:
        return None
    job, held = claimed
    # By its name alone: whoever had the job before may keep its runs elsewhere.
    run_dir = Path(settings.RUNS_DIR) / (Path(job.run_dir).name or _name_of_run(job))
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        held.update(run_dir=str(run_dir))
        with beating(held):
            write_job(job_from_dict(artifacts.localised(job.config)), run_dir)
    except Exception as error:
        _record_error(job, held, run_dir, error)
        raise
    return job, held, run_dir


def _name_of_run(job: Job) -> str:
    kind = type(job).__name__.lower()
    return f"{kind}-{job.pk}-{job.created_at:%Y%m%d-%H%M%S}"


def _beat(
    held: Claim,
    progress: Progress,
    stopping: Stopping,
    *,
    total_known: bool = False,
    **news: Any,
) -> Wish:
    fields: dict[str, Any] = {"phase": progress.phase, "step": progress.step, **news}
    if not total_known:
        fields["total_steps"] = progress.total_steps
    if not held.update(**fields):
        return "lost"
    return "stop" if stopping() or _cancel_asked(held) or pausing.is_asked(held) else "go on"


def _cancel_asked(held: Claim) -> bool:
    return held.model._default_manager.filter(
        pk=held.pk, cancel_requested_at__isnull=False
    ).exists()


def _store_metrics(job: Round, lines: Iterable[dict[str, Any]]) -> None:
    rows = [
        Metric(round=job, step=line["step"], name=f"{line['split']}/{name}", value=value)
        for line in lines
        for name, value in line["values"].items()
    ]
    if rows:
        Metric.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["round", "step", "name"],
            update_fields=["value"],
        )


def _record_ending(
    job: Job, held: Claim, run_dir: Path, ending: Ending, stopping: Stopping
) -> None:
    if _cancel_asked(held):
        held.end(Job.State.CANCELLED, log_tail=log_tail(run_dir))
    elif pausing.is_asked(held) and ending.error is None:
        pausing.pause(held)
    elif ending.status == EXIT_STOPPED or stopping():
        held.hand_back()
    elif ending.may_go_on and held.try_again(why="its engine was killed; queued again"):
        logger.warning("%s goes on in another attempt: %s", job, ending.words())
        nudge(job)
    else:
        held.end(Job.State.FAILED, error=ending.words(), log_tail=log_tail(run_dir))


def _record_error(job: Job, held: Claim, run_dir: Path, error: Exception) -> None:
    """Fail the job; where it was the database that failed, leave the row to the sweep: its
    heartbeat stands still now, and the next attempt goes on from the checkpoint."""
    logger.exception("%s", job)
    if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError | DataError):
        return
    held.end(Job.State.FAILED, error=_words(error), log_tail=log_tail(run_dir))


def _words(error: Exception) -> str:
    if isinstance(error, artifacts.ArtifactError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"The disk is full: {error}. Free some space and start another round; the pairs and "
            "everything made before are kept."
        )
    return f"{type(error).__name__}: {error}"
