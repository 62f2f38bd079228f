"""What training knows of an empty rating queue."""

from __future__ import annotations

from django.utils.translation import gettext as _

from annotate.models import Project
from annotate.queue.empty_queue import EmptyQueue
from training.models import Round
from training.sampling.jobs import being_written, seconds_left


def explain_empty(project: Project) -> EmptyQueue | None:
    """New answers are being written, or a round is in training; None where neither is so."""
    job = being_written(project)
    if job is not None:
        left = seconds_left(job)
        sentence = _("New answers are being written.")
        if left:
            ready = _("They should be ready in about %(minutes)d min.")
            sentence += " " + ready % {"minutes": max(1, round(left / 60))}
        return EmptyQueue("being_written", sentence, 10)
    moving = (Round.State.QUEUED, Round.State.RUNNING)
    unfinished = project.rounds.filter(state__in=moving).first()
    if unfinished is not None:
        sentence = _("Round %(number)d is in training; its model will write new answers for you.")
        return EmptyQueue("in_training", sentence % {"number": unfinished.number}, 20)
    return None
