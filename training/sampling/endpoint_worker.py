"""A sampling job that an endpoint writes: claimed, asked for, stored as it comes, ended.

What is missing is worked out from the completions that are there, so a job that was stopped or
killed goes on with the rest, and nothing is stored twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.models import Policy, Prompt
from training.endpoints.answers import EndpointAnswer, EndpointError, RetryPolicy
from training.endpoints.batch import Batch, DrawRequest
from training.endpoints.routing import adapter_path, model_name
from training.jobs.worker import Stopping, Worker, never_stopping
from training.models import Endpoint, Job, SamplingJob
from training.rewards.pairing import pair_up
from training.sampling import jobs

LOOK_EVERY_SECONDS = 0.5
PAIR_EVERY_SECONDS = 20.0


class EndpointWorker(Worker[SamplingJob]):
    """Has an endpoint write completions, stores them as they come, and pairs them."""

    model = SamplingJob
    patience = RetryPolicy()
    endpoint: Endpoint
    policy: Policy
    batch: Batch

    def work(self) -> None:
        if self.job.endpoint is None:
            self.held.end(Job.State.FAILED, error=_("Its endpoint is gone."))
            return
        self.endpoint = self.job.endpoint
        with asyncio.Runner() as runner:
            self._write(runner)

    def _write(self, runner: asyncio.Runner) -> None:
        self.policy = self.job.policies.get()
        owed = [(prompt.pk, seed) for prompt, seed in jobs.missing_of(self.job, self.policy)]
        total = self.job.stored + len(owed)
        if not self.held.update(total_steps=total, phase="asking the endpoint"):
            return
        draws = _draws(owed)
        self.batch = Batch(
            self.endpoint,
            model=self.job.config["model"],
            sampling=self.job.config["sampling"],
            patience=self.patience,
        )
        interrupted = False
        paired_at = time.monotonic()
        try:
            self._load_adapter(runner)
            while self.batch.fatal is None:
                self.batch.feed(islice(draws, self.batch.hungry))
                if self.batch.idle:
                    break
                if not self._store(runner.run(self.batch.work(LOOK_EVERY_SECONDS))):
                    return
                phase = "waiting for the endpoint" if self.batch.resting else "asking the endpoint"
                if not self.held.update(phase=phase, step=F("stored")):
                    return
                if interrupted := self.stopping() or self.cancel_asked():
                    break
                if time.monotonic() - paired_at > PAIR_EVERY_SECONDS:
                    pair_up(project=self.job.project)
                    paired_at = time.monotonic()
        finally:
            runner.run(self.batch.close())
        pair_up(project=self.job.project)
        self._end(interrupted=interrupted)

    def _load_adapter(self, runner: asyncio.Runner) -> None:
        if self.policy.kind != Policy.Kind.ADAPTER:
            return
        self.held.update(phase="telling the endpoint of the adapter")
        path = adapter_path(self.endpoint, self.policy)
        name = model_name(self.endpoint, self.policy)
        try:
            runner.run(self.batch.load_adapter(name=name, path=path))
        except EndpointError as trouble:
            message = _("The endpoint has not loaded the adapter %(name)s.") % {"name": name}
            self.batch.fatal = EndpointError(f"{message} {trouble}", "endpoint")

    def _store(self, came: list[tuple[DrawRequest, EndpointAnswer]]) -> bool:
        """Store what has come with what it cost. False where the claim no longer holds."""
        if not came:
            return True
        lines = [
            {
                "id": f"{draw.prompt}:{self.policy.pk}:{draw.seed}",
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
            "cost": F("cost") + self.endpoint.cost_of(read, written),
        }
        with transaction.atomic():
            # Paid for and whole, so kept even where somebody else has the job by now.
            Endpoint.objects.filter(pk=self.endpoint.pk).update(**used)
            stored = jobs.store(job=self.job, claim=self.held, lines=lines)
            return stored and self.held.update(**used)

    def _end(self, *, interrupted: bool) -> None:
        if self.cancel_asked():
            self.held.end(Job.State.CANCELLED)
        elif interrupted:
            self.held.hand_back()
        elif self.batch.fatal is not None or self.batch.failed:
            self.held.end(Job.State.FAILED, error=_why(self.job, self.batch))
        else:
            self.held.end(Job.State.SUCCEEDED, error="")


def run_writing(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Have the endpoint write what job ``pk`` owes; record why, where that fails."""
    if not _is_crowded(pk):  # else still queued: the sweep sends it again
        EndpointWorker.run(pk, stopping=stopping)


def _is_crowded(pk: int) -> bool:
    """Whether one more endpoint would leave none of the worker's threads free."""
    others = SamplingJob.objects.filter(state=Job.State.RUNNING, endpoint__isnull=False)
    most: int = max(1, settings.TASK_THREADS - 2)
    return others.exclude(pk=pk).count() >= most


def _draws(owed: list[tuple[int, int]]) -> Iterator[DrawRequest]:
    """The draws with their prompts' messages, read some at a time."""
    for start in range(0, len(owed), 200):
        chunk = owed[start : start + 200]
        wanted = {prompt for prompt, _seed in chunk}
        messages = dict(Prompt.objects.filter(pk__in=wanted).values_list("pk", "messages"))
        for prompt, seed in chunk:
            if prompt in messages:
                yield DrawRequest(prompt, seed, messages[prompt])


def _why(job: SamplingJob, batch: Batch) -> str:
    """What happened, and what was kept."""
    stored = SamplingJob.objects.values_list("stored", flat=True).get(pk=job.pk)
    last = batch.fatal or batch.failed[-1]
    if batch.fatal is None:
        count = len(batch.failed)
        message = ngettext(
            "%(count)s completion failed.",
            "%(count)s completions failed.",
            count,
        )
        happened = f"{message % {'count': count}} {last}"
    else:
        happened = str(last)
    retained = ngettext(
        "The %(count)s completion received is kept.",
        "The %(count)s completions received are kept.",
        stored,
    )
    return f"{happened} {retained % {'count': stored}}" if stored else happened
