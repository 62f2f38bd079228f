"""Telling a worker that a row is due. Only a nudge: the sweep sends again what gets lost."""

from __future__ import annotations

import logging

from django.utils import timezone
from kombu.exceptions import OperationalError

from config.celery import app
from training.models import Job, Round

logger = logging.getLogger(__name__)


def nudge(job: Job) -> None:
    """Send the job's id to the gpu queue. An absent Redis is logged, not raised."""
    name = "run_round" if isinstance(job, Round) else "run_sampling"
    try:
        app.send_task(f"training.tasks.{name}", args=[job.pk], retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("no message sent for %s, the sweep will: %s", job, error)
        return
    type(job)._default_manager.filter(pk=job.pk).update(nudged_at=timezone.now())
