"""Telling a worker that a row is due. Only a nudge: the sweep sends again what gets lost."""

from __future__ import annotations

import logging

from celery import current_app
from django.utils import timezone
from kombu.exceptions import OperationalError

from training.models import HubPush, Job, Merge, Round, SamplingJob, ScoringJob, TryoutAnswer

logger = logging.getLogger(__name__)


def dispatch(job: Job) -> None:
    """Send the job's id to its queue. An absent Redis is logged, not raised."""
    try:
        current_app.send_task(f"training.tasks.{_task_of(job)}", args=[job.pk], retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("no message sent for %s, the sweep will: %s", job, error)
        return
    type(job)._default_manager.filter(pk=job.pk).update(nudged_at=timezone.now())


def _task_of(job: Job) -> str:
    if isinstance(job, Round):
        return "run_round"
    if isinstance(job, ScoringJob):
        return "run_scoring"
    if isinstance(job, SamplingJob) and job.endpoint_id is not None:
        return "run_writing"
    if isinstance(job, TryoutAnswer):
        return "run_served_answer" if job.is_served else "run_answer"
    if isinstance(job, Merge):
        return "run_merge"
    if isinstance(job, HubPush):
        return "run_push"
    return "run_sampling"
