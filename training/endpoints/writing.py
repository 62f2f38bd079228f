"""A sampling job that an endpoint writes: claimed, asked for, stored as it comes, ended.

What is missing is worked out from the completions that are there, so a job that was stopped or
killed goes on with the rest, and nothing is stored twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Policy, Prompt
from training import sampling
from training.claims import Claim, claim
from training.endpoints.answers import Answer, Patience, Trouble
from training.endpoints.crew import Crew, Draw
from training.endpoints.models import Endpoint
from training.endpoints.routing import adapter_path, model_name
from training.gates import pair_up
from training.models import Job, SamplingJob

logger = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 0.5
PAIR_EVERY_SECONDS = 20.0

Stopping = Callable[[], bool]


def run_writing(
    pk: int, *, stopping: Stopping = lambda: False, patience: Patience | None = None
) -> None:
    """Have the endpoint write what job ``pk`` owes; record why, where that fails."""
    if _is_crowded(pk):
        return  # still queued: the sweep sends it again
    claimed = claim(SamplingJob, pk)
    if claimed is None:
        return
    job, held = claimed
    endpoint = job.endpoint
    if endpoint is None:
        held.end(Job.State.FAILED, error=_("Its endpoint is gone."))
        return
    try:
        with asyncio.Runner() as runner:
            _write(job, held, endpoint, stopping, patience or Patience(), runner)
    except Exception as error:
        logger.exception("%s", job)
        held.end(Job.State.FAILED, error=f"{type(error).__name__}: {error}")
        raise


def _is_crowded(pk: int) -> bool:
    """Whether so many endpoints are being asked that none of the worker's threads would be left."""
    others = SamplingJob.objects.filter(state=Job.State.RUNNING, endpoint__isnull=False)
    most: int = max(1, settings.TASK_THREADS - 2)
    return others.exclude(pk=pk).count() >= most


def _write(
    job: SamplingJob,
    held: Claim,
    endpoint: Endpoint,
    stopping: Stopping,
    patience: Patience,
    runner: asyncio.Runner,
) -> None:
    policy = job.policies.get()
    owed = [(prompt.pk, seed) for prompt, seed in sampling.missing_of(job, policy)]
    if not held.update(total_steps=job.stored + len(owed), phase="asking the endpoint"):
        return
    draws = _draws(owed)
    crew = Crew(
        endpoint,
        model=job.config["model"],
        sampling=job.config["sampling"],
        patience=patience,
    )
    interrupted = False
    paired_at = time.monotonic()
    try:
        _load_adapter(crew, held, endpoint, policy, runner)
        while crew.fatal is None:
            crew.feed(islice(draws, crew.hungry))
            if crew.idle:
                break
            came = runner.run(crew.work(LOOK_EVERY_SECONDS))
            if not _store(job, held, endpoint, policy, came):
                return
            phase = "waiting for the endpoint" if crew.resting else "asking the endpoint"
            if not held.update(phase=phase, step=F("stored")):
                return
            if interrupted := stopping() or _cancel_asked(job):
                break
            if time.monotonic() - paired_at > PAIR_EVERY_SECONDS:
                pair_up(project=job.project)
                paired_at = time.monotonic()
    finally:
        runner.run(crew.close())
    pair_up(project=job.project)
    _end(job, held, crew, interrupted=interrupted)


def _load_adapter(
    crew: Crew, held: Claim, endpoint: Endpoint, policy: Policy, runner: asyncio.Runner
) -> None:
    if policy.kind != Policy.Kind.ADAPTER:
        return
    held.update(phase="telling the endpoint of the adapter")
    path = adapter_path(endpoint, policy)
    name = model_name(endpoint, policy)
    try:
        runner.run(crew.load_adapter(name=name, path=path))
    except Trouble as trouble:
        words = _("The endpoint has not loaded the adapter %(name)s.") % {"name": name}
        crew.fatal = Trouble(f"{words} {trouble}", "endpoint")


def _draws(owed: list[tuple[int, int]]) -> Iterator[Draw]:
    """The draws with their prompts' messages, read some at a time."""
    for start in range(0, len(owed), 200):
        chunk = owed[start : start + 200]
        wanted = {prompt for prompt, _seed in chunk}
        messages = dict(Prompt.objects.filter(pk__in=wanted).values_list("pk", "messages"))
        for prompt, seed in chunk:
            if prompt in messages:
                yield Draw(prompt, seed, messages[prompt])


def _store(
    job: SamplingJob,
    held: Claim,
    endpoint: Endpoint,
    policy: Policy,
    came: list[tuple[Draw, Answer]],
) -> bool:
    """Store what has come with what it cost. False where the claim no longer holds."""
    if not came:
        return True
    lines = [
        {
            "id": f"{draw.prompt}:{policy.pk}:{draw.seed}",
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "token_count": answer.completion_tokens,
            "logprob": None,
        }
        for draw, answer in came
    ]
    read = sum(answer.prompt_tokens for _draw, answer in came)
    written = sum(answer.completion_tokens or 0 for _draw, answer in came)
    used = {
        "prompt_tokens": F("prompt_tokens") + read,
        "completion_tokens": F("completion_tokens") + written,
        "cost": F("cost") + endpoint.cost_of(read, written),
    }
    with transaction.atomic():
        # Paid for and whole, so kept even where somebody else has the job by now.
        Endpoint.objects.filter(pk=endpoint.pk).update(**used)
        return sampling.store(job=job, claim=held, lines=lines) and held.update(**used)


def _cancel_asked(job: SamplingJob) -> bool:
    return SamplingJob.objects.filter(pk=job.pk, cancel_requested_at__isnull=False).exists()


def _end(job: SamplingJob, held: Claim, crew: Crew, *, interrupted: bool) -> None:
    if _cancel_asked(job):
        held.end(Job.State.CANCELLED)
    elif interrupted:
        held.hand_back()
    elif crew.fatal is not None or crew.failed:
        held.end(Job.State.FAILED, error=_why(job, crew))
    else:
        held.end(Job.State.SUCCEEDED, error="")


def _why(job: SamplingJob, crew: Crew) -> str:
    """What happened, and what was kept."""
    stored = SamplingJob.objects.values_list("stored", flat=True).get(pk=job.pk)
    last = crew.fatal or crew.failed[-1]
    if crew.fatal is None:
        count = len(crew.failed)
        words = ngettext(
            "%(count)s completion could not be had.",
            "%(count)s completions could not be had.",
            count,
        )
        happened = f"{words % {'count': count}} {last}"
    else:
        happened = str(last)
    kept = ngettext(
        "The %(count)s completion that came is kept.",
        "The %(count)s completions that came are kept.",
        stored,
    )
    return f"{happened} {kept % {'count': stored}}" if stored else happened
