"""A job from claim to end: what all kinds of jobs have in common.

Each room's ``worker.py`` says what differs: what is prepared, what is read while the engine works,
what becomes of its result. Knows nothing of Celery; ``stopping`` tells whether the worker was asked
to leave.
"""

from __future__ import annotations

import abc
import errno
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError

from training.engine.config import EXIT_STOPPED, job_from_dict, write_job
from training.jobs import claims, machines
from training.jobs.claims import AnyJob, Claim, beating, claim
from training.jobs.dispatch import dispatch
from training.jobs.engine_process import (
    EngineEnding,
    EngineProgress,
    Instruction,
    log_tail,
    run_engine,
)
from training.models import Job
from training.storage import artifacts

logger = logging.getLogger(__name__)

Stopping = Callable[[], bool]


def never_stopping() -> bool:
    """``stopping`` where nobody asks the worker to leave."""
    return False


class Worker(abc.ABC, Generic[AnyJob]):
    """One attempt at one job. Subclasses name the ``model`` and say what the ``work`` is."""

    model: type[AnyJob]

    def __init__(self, job: AnyJob, held: Claim, stopping: Stopping = never_stopping) -> None:
        self.job = job
        self.held = held
        self.stopping = stopping

    @classmethod
    def run(cls, pk: int, *, stopping: Stopping = never_stopping) -> None:
        """Do the job where it is to be had; record why, where that fails, and raise it."""
        claimed = claim(cls.model, pk)
        if claimed is None:
            return
        worker = cls(*claimed, stopping)
        try:
            worker.work()
        except Exception as error:
            worker.record_error(error)
            raise

    @abc.abstractmethod
    def work(self) -> None:
        """The job from its start to its end."""

    def cancel_asked(self) -> bool:
        """Whether somebody asked for the job to be cancelled."""
        rows = self.model._default_manager.filter(pk=self.held.pk)
        return rows.filter(cancel_requested_at__isnull=False).exists()

    def record_error(self, error: Exception) -> None:
        """Fail the job; where it was the database that failed, leave the row to the sweep: its
        heartbeat stands still now, and the next attempt goes on from the checkpoint."""
        logger.exception("%s", self.job)
        if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError | DataError):
            return
        self.held.end(Job.State.FAILED, error=words_of(error), **self.left_behind())

    def left_behind(self) -> dict[str, Any]:
        """Fields of the row that tell what a job without a result has left."""
        return {}


class EngineWorker(Worker[AnyJob]):
    """A job that the engine does in a run directory of its own."""

    is_tried_again = True
    """Whether an engine that was killed gets another attempt."""
    knows_total = False
    """Whether the row had its number of steps from the start."""
    run_dir: Path
    progress = EngineProgress()
    result: dict[str, Any]

    @property
    def kind(self) -> str:
        """The engine's name for this kind of job."""
        return str(self.job.config["kind"])

    @property
    def engine_options(self) -> dict[str, Any]:
        """What ``run_engine`` is told beyond the kind, the folder and the attempt."""
        return {}

    def work(self) -> None:
        self.open_run_dir()
        if not self.prepare():
            self.held.end(Job.State.SUCCEEDED, error="")
            return
        ending = run_engine(
            kind=self.kind,
            run_dir=self.run_dir,
            follow=self.follow,
            attempt=self.held.attempt,
            **self.engine_options,
        )
        machines.note(self.run_dir)
        ending = self.after_engine(ending)
        if ending.result is None:
            self.record_ending(ending)
        else:
            self.result = ending.result
            self.adopt()

    def open_run_dir(self) -> None:
        """Make the run directory, with the job in it."""
        # Only its name: the worker that had the job before may keep its runs elsewhere.
        name = Path(self.job.run_dir).name or self.name_of_run()
        self.run_dir = Path(settings.RUNS_DIR) / name
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.held.update(run_dir=str(self.run_dir))
        with beating(self.held):
            write_job(job_from_dict(artifacts.localised(self.engine_job())), self.run_dir)

    def name_of_run(self) -> str:
        """What a new run directory is called."""
        kind = type(self.job).__name__.lower()
        return f"{kind}-{self.job.pk}-{self.job.created_at:%Y%m%d-%H%M%S}"

    def engine_job(self) -> dict[str, Any]:
        """The engine's job, with paths as the row has them."""
        config: dict[str, Any] = self.job.config
        return config

    def prepare(self) -> bool:
        """Write the job's data into the run directory. False where there is nothing to do."""
        return True

    def read(self) -> dict[str, Any] | None:
        """Take what the engine has written since the last look; fields of the row that follow
        from it. None where the claim no longer holds. Called about twice a second."""
        return {}

    def follow(self, progress: EngineProgress) -> Instruction:
        """What ``run_engine`` asks: whether the engine may go on."""
        self.progress = progress
        fields = self.read()
        if fields is None:
            return "lost"
        fields |= {"phase": progress.phase, "step": progress.step}
        if not self.knows_total:
            fields["total_steps"] = progress.total_steps
        if not self.held.update(**fields):
            return "lost"
        is_over = self.stopping() or self.cancel_asked() or claims.pause_asked(self.held)
        return "stop" if is_over else "go on"

    def after_engine(self, ending: EngineEnding) -> EngineEnding:
        """What comes between the engine's end and the job's; how the work has ended."""
        return ending

    def adopt(self) -> None:
        """Make the engine's ``self.result`` the job's, and end it."""
        self.held.end(Job.State.SUCCEEDED, error="")

    def record_ending(self, ending: EngineEnding) -> None:
        """End the job, or put it back into the queue, where the engine left no result."""
        if self.cancel_asked():
            self.held.end(Job.State.CANCELLED, **self.left_behind())
        elif claims.pause_asked(self.held) and ending.error is None:
            claims.pause(self.held)
        elif ending.status == EXIT_STOPPED or self.stopping():
            self.held.hand_back()
        elif (
            self.is_tried_again
            and ending.may_go_on
            and self.held.try_again(why="its engine was killed; queued again")
        ):
            logger.warning("%s goes on in another attempt: %s", self.job, ending.words())
            dispatch(self.job)
        else:
            self.held.end(Job.State.FAILED, error=ending.words(), **self.left_behind())

    def left_behind(self) -> dict[str, Any]:
        return {"log_tail": log_tail(self.run_dir)}


def words_of(error: Exception) -> str:
    """Why a job failed, for a person."""
    if isinstance(error, artifacts.ArtifactError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"The disk is full: {error}. Free some space and start another round; the pairs and "
            "everything made before are kept."
        )
    return f"{type(error).__name__}: {error}"
