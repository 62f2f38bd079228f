"""A job's row as the job: claimed, followed and ended by compare-and-swap.

``attempt`` is the fencing token: each claim raises it, and every later write names it,
so a worker that was believed dead cannot write over its successor.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from training.models import Job, Round

AnyJob = TypeVar("AnyJob", bound=Job)
logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Claim:
    """The right to write to one job's row."""

    model: type[Job]
    pk: int
    attempt: int

    def update(self, **fields: Any) -> bool:
        """Write ``fields`` if the claim still holds. False: somebody else has the job now."""
        return bool(
            self.model._default_manager.filter(
                pk=self.pk, attempt=self.attempt, state=Job.State.RUNNING
            ).update(heartbeat_at=timezone.now(), **fields)
        )

    def end(self, state: str, **fields: Any) -> bool:
        """Finish the job, once. False: the claim no longer holds, and nothing was written."""
        return self.update(state=state, finished_at=timezone.now(), phase="", **fields)

    def try_again(self, *, why: str) -> bool:
        """Put the job back into the queue; the attempt counts. False: that was the last one."""
        left = self.model._default_manager.filter(
            pk=self.pk, attempt__lt=F("stops") + settings.MAX_ATTEMPTS
        )
        return left.exists() and self.update(state=Job.State.QUEUED, phase=why, nudged_at=None)

    def hand_back(self) -> bool:
        """Put the job back into the queue without counting the attempt against it."""
        return self.update(
            state=Job.State.QUEUED,
            stops=F("stops") + 1,
            phase="stopped, will continue",
            nudged_at=None,
        )


def claim(model: type[AnyJob], pk: int) -> tuple[AnyJob, Claim] | None:
    """Take a queued job; None where it is not (or no longer) to be had."""
    now = timezone.now()
    queued = model._default_manager.filter(pk=pk, state=Job.State.QUEUED)
    attempt = queued.values_list("attempt", flat=True).first()
    if attempt is None:
        return None
    won = queued.filter(attempt=attempt).update(
        state=Job.State.RUNNING,
        attempt=attempt + 1,
        started_at=Coalesce("started_at", Value(now)),
        heartbeat_at=now,
        phase="starting",
    )
    if not won:
        return None
    return model._default_manager.get(pk=pk), Claim(model, pk, attempt + 1)


@contextlib.contextmanager
def beating(held: Claim, *, lease: Path | None = None) -> Iterator[None]:
    """Within, the row's heartbeat goes on beside work that follows no engine: copying, hashing.

    ``lease``: that of an engine that computes meanwhile, renewed while the claim holds.
    """
    ended = threading.Event()

    def beat() -> None:
        try:
            while not ended.wait(settings.STALE_SECONDS / 4):
                try:
                    if held.update() and lease is not None:
                        lease.touch()
                except (DatabaseError, OSError) as error:
                    logger.warning("no heartbeat for %s: %s", held, error)
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="beating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def request_cancel(*, job: Job) -> None:
    """Ask a job to stop. One that nobody works on is cancelled at once, a running one by its
    supervisor."""
    now = timezone.now()
    rows = type(job)._default_manager.filter(pk=job.pk)
    rows.filter(state__in=(Job.State.QUEUED, Job.State.PAUSED)).update(
        state=Job.State.CANCELLED, cancel_requested_at=now, finished_at=now
    )
    rows.filter(state=Job.State.RUNNING, cancel_requested_at=None).update(cancel_requested_at=now)


def pause_asked(held: Claim) -> bool:
    """Whether the job that is held is a round that was asked to pause."""
    return held.model is Round and (
        Round.objects.filter(pk=held.pk, pause_requested_at__isnull=False).exists()
    )


def pause(held: Claim) -> bool:
    """Give a round up for now. The attempt does not count against it."""
    return held.update(
        state=Round.State.PAUSED, pause_requested_at=None, stops=F("stops") + 1, phase=""
    )


def sweep_paused(*, now: datetime | None = None) -> None:
    """A round that was asked to pause and lost its worker is paused, not queued again."""
    now = now or timezone.now()
    Round.objects.filter(
        state=Round.State.RUNNING,
        pause_requested_at__isnull=False,
        cancel_requested_at=None,
        heartbeat_at__lt=now - timedelta(seconds=settings.STALE_SECONDS),
    ).update(state=Round.State.PAUSED, pause_requested_at=None, stops=F("stops") + 1, phase="")


def sweep_dead(model: type[Job], *, now: datetime | None = None) -> None:
    """Queue again what has lost its worker; fail it once its attempts are used up."""
    now = now or timezone.now()
    stale = model._default_manager.filter(
        state=Job.State.RUNNING,
        heartbeat_at__lt=now - timedelta(seconds=settings.STALE_SECONDS),
    )
    stale.filter(cancel_requested_at__isnull=False).update(
        state=Job.State.CANCELLED, finished_at=now, phase=""
    )
    spent = Q(attempt__gte=F("stops") + settings.MAX_ATTEMPTS)
    stale.filter(spent).update(
        state=Job.State.FAILED,
        finished_at=now,
        phase="",
        error=f"The worker died {settings.MAX_ATTEMPTS} times while on this; it was given up.",
    )
    stale.update(state=Job.State.QUEUED, phase="its worker died; queued again", nudged_at=None)


def due_for_dispatch(model: type[Job], *, now: datetime | None = None) -> list[int]:
    """Queued jobs whose message was never sent, or so long ago that it may be lost."""
    now = now or timezone.now()
    due = model._default_manager.filter(state=Job.State.QUEUED).filter(
        Q(nudged_at=None) | Q(nudged_at__lt=now - timedelta(seconds=settings.STALE_SECONDS))
    )
    return list(due.values_list("pk", flat=True))
