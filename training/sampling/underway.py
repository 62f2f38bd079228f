"""What sampling jobs under way are about to write, so that nothing is asked for twice."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from annotate.content.completions import sampling_digest
from annotate.db.write_lock import write_lock
from annotate.models import Policy, Project
from training.jobs.dispatch import dispatch
from training.models import SamplingJob

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=5), timedelta(hours=6)
"""How long automatic writing waits after a failure; twice as long after each further one."""

JOBS_LOOKED_AT = 12
"""Of a policy, to count the failures in a row: then the wait is LONGEST_RETRY anyway."""


@dataclasses.dataclass(frozen=True)
class Underway:
    """Draws that unfinished jobs will write, by policy and digest of the sampling parameters.

    ``up_to``: a job writes whatever is missing of that many first draws of each prompt;
    ``named``: (prompt, seed) of draws that jobs name one by one.
    """

    up_to: Mapping[tuple[int, str], int]
    named: Mapping[tuple[int, str], set[tuple[int, int]]]

    def covered(self, policy: Policy, sampling: str) -> int:
        """How many of each prompt's first draws are being written."""
        return self.up_to.get((policy.pk, sampling), 0)

    def draws(self, policy: Policy, sampling: str) -> set[tuple[int, int]]:
        """(prompt, seed) of the draws that are named."""
        return self.named.get((policy.pk, sampling), set())


def underway(project: Project, *, besides: SamplingJob | None = None) -> Underway:
    """What the project's unfinished jobs will write, or those that matter to ``besides``: every
    job that names its draws, and of the others only those queued before it."""
    up_to: dict[tuple[int, str], int] = defaultdict(int)
    named: dict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
    jobs = SamplingJob.objects.filter(project=project, state__in=SamplingJob.UNFINISHED)
    if besides is not None:
        jobs = jobs.exclude(pk=besides.pk)
    for job in jobs.prefetch_related("policies"):
        sampling = sampling_digest(job.config.get("sampling", {}))
        if job.asked is not None:
            for prompt, policy, seed in job.asked:
                named[policy, sampling].add((prompt, seed))
        elif besides is None or job.pk < besides.pk:
            for policy in job.policies.all():
                key = policy.pk, sampling
                up_to[key] = max(up_to[key], job.completions_per_prompt)
    return Underway(up_to, named)


@dataclasses.dataclass(frozen=True)
class PlannedJob:
    """An unsaved job, and the policies that write in it."""

    job: SamplingJob
    policies: Sequence[Policy]


def queue_once(project: Project, plan: Callable[[], Sequence[PlannedJob]]) -> list[SamplingJob]:
    """Save and dispatch the jobs that ``plan`` makes. Where others were queued while it was made,
    it is made again: two presses, or a press and the clock, never ask for the same draws."""
    while True:
        newest = _newest(project)
        planned = plan()
        with write_lock():
            # no_key: completions are stored meanwhile, and they refer to the project's prompts.
            Project.objects.select_for_update(no_key=True).get(pk=project.pk)
            if _newest(project) == newest:
                for row in planned:
                    row.job.save()
                    row.job.policies.set(row.policies)
                    transaction.on_commit(partial(dispatch, row.job))
                return [row.job for row in planned]


def _newest(project: Project) -> int | None:
    jobs = SamplingJob.objects.filter(project=project).order_by("-pk")
    return jobs.values_list("pk", flat=True).first()


def tried_again_at(policy: Policy) -> datetime | None:
    """When automatic writing tries ``policy`` again after its last jobs failed; None where the last
    one did not fail."""
    jobs = SamplingJob.objects.filter(policies=policy).order_by("-pk")[:JOBS_LOOKED_AT]
    failed = []
    for job in jobs:
        if job.state != SamplingJob.State.FAILED:
            break
        failed.append(job)
    if not failed:
        return None
    wait: timedelta = min(FIRST_RETRY * 2 ** (len(failed) - 1), LONGEST_RETRY)
    return (failed[0].finished_at or failed[0].created_at) + wait


def is_free(policy: Policy, *, now: datetime | None = None) -> bool:
    """Whether automatic writing may start for ``policy``: nothing writes for it, nobody stopped
    what wrote last, and a failure is long enough ago."""
    last = SamplingJob.objects.filter(policies=policy).order_by("-pk").first()
    if last is None or last.state == SamplingJob.State.SUCCEEDED:
        return True
    again = tried_again_at(policy)
    return again is not None and again <= (now or timezone.now())
