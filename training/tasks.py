"""Celery's side of training: messages in, services called. Nothing else is decided here."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from celery.worker import state as worker_state
from kombu.exceptions import OperationalError

from annotate.queue.leases import release_expired
from annotate.queue.line_ups import release_expired_orderings
from training.exports import worker as exports_worker
from training.jobs import claims, engine_process, machines
from training.jobs.dispatch import dispatch
from training.models import HubPush, Job, Merge, Round, SamplingJob, ScoringJob, TryoutAnswer
from training.notifications import outbox
from training.policies import gates
from training.rewards import scoring
from training.rewards import worker as rewards_worker
from training.rounds import worker as rounds_worker
from training.sampling import refill
from training.sampling import worker as sampling_worker
from training.schedule import auto_start

logger = logging.getLogger(__name__)


def _worker_is_leaving() -> bool:
    """Whether this worker was asked to shut down, warmly or coldly."""
    flags = (worker_state.should_stop, worker_state.should_terminate)
    return any(flag is not None and flag is not False for flag in flags)


@worker_ready.connect
def look_around(**_: Any) -> None:
    """A worker that starts: end engines that have lost theirs, have what is due sent again."""
    for pid in engine_process.end_orphans():
        logger.warning("engine %d had lost its worker and was ended", pid)
    try:
        sweep.apply_async(retry=False, expires=10)
    except (OperationalError, OSError) as error:
        logger.warning("no sweep was asked for, the clock will: %s", error)


@shared_task
def run_round(pk: int) -> None:
    """Train one round (gpu queue)."""
    rounds_worker.run_round(pk, stopping=_worker_is_leaving)


@shared_task
def run_sampling(pk: int) -> None:
    """Write the completions of one sampling job (gpu queue)."""
    sampling_worker.run_sampling(pk, stopping=_worker_is_leaving)


@shared_task
def run_scoring(pk: int) -> None:
    """Give completions their rewards (gpu queue)."""
    rewards_worker.run_scoring(pk, stopping=_worker_is_leaving)


@shared_task
def measure_machine() -> None:
    """Find out what the worker's machine is, where nothing has run yet (gpu queue)."""
    machines.measure()


@shared_task
def run_writing(pk: int) -> None:
    """Have an endpoint write the completions of one sampling job (default queue)."""
    # Its client takes long to import, and not all need it.
    from training.sampling import endpoint_worker

    endpoint_worker.run_writing(pk, stopping=_worker_is_leaving)


@shared_task
def run_answer(pk: int) -> None:
    """Have the engine write one answer of the playground (gpu queue)."""
    from training.playground import worker  # for its client, as above

    worker.run_answer(pk, stopping=_worker_is_leaving)


@shared_task
def run_served_answer(pk: int) -> None:
    """Have an endpoint write one answer of the playground (default queue)."""
    from training.playground import worker

    worker.run_answer(pk, stopping=_worker_is_leaving)


@shared_task
def run_merge(pk: int) -> None:
    """Have the engine merge an adapter into its base (gpu queue)."""
    exports_worker.run_merge(pk, stopping=_worker_is_leaving)


@shared_task
def run_push(pk: int) -> None:
    """Push an adapter or a merged model to a hub (default queue)."""
    from training.exports import hub_push

    hub_push.run_push(pk, stopping=_worker_is_leaving)


@shared_task
def deliver(pk: int) -> None:
    """Send one notification (default queue)."""
    from training.notifications import sending

    sending.deliver(pk)


@shared_task
def sweep() -> None:
    """Every ten seconds: give back leases, revive dead jobs, send what got lost, tell news."""
    release_expired()
    release_expired_orderings()
    claims.sweep_paused()
    models: tuple[type[Job], ...]
    models = (Round, SamplingJob, TryoutAnswer, Merge, HubPush, ScoringJob)
    for model in models:
        claims.sweep_dead(model)
        for pk in claims.due_for_dispatch(model):
            dispatch(model._default_manager.get(pk=pk))
    outbox.sweep()


@shared_task
def tick() -> None:
    """Every minute: decide gates; start rounds that are due, and write missing answers."""
    gates.arrange_due()
    gates.decide_due()
    auto_start.start_due_rounds()
    refill.start_due_sampling()
    scoring.start_due_scoring()
    if machines.is_wanted():
        measure_machine.apply_async(retry=False, expires=60)
    outbox.sweep(look_at_gates=True)
