"""Pausing a round, and taking one up again that was paused, cancelled or has failed.

A paused round has given the device back: its engine has written a checkpoint and ended, and no
sweep revives it. Taking a round up puts it into the queue again; its engine goes on from the
newest checkpoint of its run directory, or begins again where there is none.
"""

from __future__ import annotations

from pathlib import Path

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from training.errors import Refused
from training.jobs.dispatch import dispatch
from training.models import Job, Round

RESUMABLE = (Round.State.PAUSED, Round.State.CANCELLED, Round.State.FAILED)
"""The states that a round can be taken up from."""


def request_pause(*, round_: Round) -> None:
    """Ask a round to pause. A queued one pauses at once, a running one after a checkpoint."""
    rows = Round.objects.filter(pk=round_.pk)
    rows.filter(state=Round.State.QUEUED).update(
        state=Round.State.PAUSED, pause_requested_at=None, phase=""
    )
    rows.filter(state=Round.State.RUNNING, pause_requested_at=None).update(
        pause_requested_at=timezone.now()
    )


def resume(*, round_: Round) -> None:
    """Put a paused, cancelled or failed round into the queue again.

    Its attempts are counted from zero. Raises Refused, in words, where another round of the project
    has not finished, or where this one cannot be taken up.
    """
    try:
        with transaction.atomic():
            taken = Round.objects.filter(pk=round_.pk, state__in=RESUMABLE).update(
                state=Round.State.QUEUED,
                stops=F("attempt"),
                cancel_requested_at=None,
                pause_requested_at=None,
                finished_at=None,
                nudged_at=None,
                phase="",
                error="",
            )
            transaction.on_commit(lambda: _nudge_queued(round_.pk))
    except IntegrityError as error:
        other = round_.project.rounds.filter(state__in=Round.UNFINISHED).first()
        message = _("Round %(number)s has not finished yet; two rounds never run at once.")
        raise Refused(message % {"number": other.number if other else "?"}) from error
    if not taken:
        message = _("Round %(number)s is neither paused, cancelled nor failed.")
        raise Refused(message % {"number": round_.number})


def can_be_resumed(round_: Round) -> bool:
    """Whether a button offers it: no other round of the project is unfinished."""
    if round_.state == Round.State.PAUSED:
        return True
    if round_.state not in RESUMABLE:
        return False
    return not round_.project.rounds.filter(state__in=Round.UNFINISHED).exists()


def newest_kept(run_dir: Path) -> int | None:
    """The step of the newest checkpoint in a run directory that was sealed whole."""
    steps = [
        int(name)
        for manifest in run_dir.glob("checkpoint-*/manifest.json")
        if (name := manifest.parent.name.rpartition("-")[2]).isdigit()
    ]
    return max(steps, default=None)


def _nudge_queued(pk: int) -> None:
    round_ = Round.objects.filter(pk=pk, state=Job.State.QUEUED).first()
    if round_ is not None:
        dispatch(round_)
