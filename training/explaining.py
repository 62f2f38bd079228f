"""What training knows of an empty rating queue."""

from __future__ import annotations

from annotate.models import Project
from annotate.serving import Empty
from training.models import Round
from training.sampling import being_written, seconds_left


def explain_empty(project: Project) -> Empty | None:
    """New answers are being written, or a round is in training; None where neither is so."""
    job = being_written(project)
    if job is not None:
        left = seconds_left(job)
        about = f" They should be ready in about {max(1, round(left / 60))} min." if left else ""
        return Empty("being_written", f"New answers are being written.{about}", 10)
    unfinished = project.rounds.filter(state__in=Round.UNFINISHED).first()
    if unfinished is not None:
        return Empty(
            "in_training",
            f"Round {unfinished.number} is in training; its model will write new answers for you.",
            20,
        )
    return None
