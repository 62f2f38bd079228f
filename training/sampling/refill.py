"""What is written without a button: all that the pool owes, or what fills the raters' queue."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import comb

from django.db.models import Count, F
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.content.completions import sampling_digest
from annotate.models import Comparison, Completion, Judgement, LineUp, Policy, Project
from annotate.pairing.comparisons import OWN_SHARE
from training.endpoints.routing import endpoint_of, may_write
from training.errors import Refused
from training.models import LoopSettings, SamplingJob, loop_of
from training.policies.pool import ensure_base, sampled_policies
from training.sampling import refill_plan
from training.sampling.jobs import (
    NamedDraw,
    being_written,
    draw_seed,
    plan_for_endpoint,
    plan_for_engine,
    sampling_of,
    seeds_written,
    start_sampling,
    waits_for_approval,
)
from training.sampling.underway import PlannedJob, is_free, queue_once, underway

PACE_MINUTES = 30
"""Over how long the raters' present pace is measured."""


def start_due_sampling() -> list[SamplingJob]:
    """Queue what is missing wherever prompts wait and nothing is being written.

    After a failed job it is tried again, each time after a longer wait; after one that a person
    stopped, that person decides.
    """
    started: list[SamplingJob] = []
    loops = LoopSettings.objects.select_related("project").filter(project__is_paused=False)
    for loop in loops:
        project = loop.project
        try:
            if loop.base_model:
                ensure_base(project=project)
            free = [policy for policy in sampled_policies(project) if is_free(policy)]
            if loop.queue_level is None:
                started += start_sampling(project=project, policies=free)
            else:
                started += fill_queue(project=project, policies=free)
        except Refused:
            continue
    return started


def fill_queue(
    *,
    project: Project,
    policies: Sequence[Policy] | None = None,
    choose: random.Random | None = None,
) -> list[SamplingJob]:
    """Have the pool (or ``policies``) write what fills the raters' queue up to its level.

    One job for each base model and for each policy of an endpoint. Raises Refused where the queue
    is full enough or answers for it are being written, where the project keeps no level, or
    nothing can write.
    """
    if policies is None and loop_of(project).base_model:
        ensure_base(project=project)
    return queue_once(project, lambda: _plan_to_level(project, policies, choose))


def _plan_to_level(
    project: Project, policies: Sequence[Policy] | None, choose: random.Random | None
) -> list[PlannedJob]:
    loop = loop_of(project)
    if being_written(project) is not None:
        raise Refused(_("Answers for the raters' queue are being written already."))
    count = refill_plan.shortfall(ready=ready(project), level=level_of(project, loop))
    if not count:
        raise Refused(_("The raters' queue is full enough."))
    if policies is None:
        policies = sampled_policies(project)
    if not policies:
        raise Refused(_("No policy in the pool can be sampled."))
    if not project.prompts.exists():
        raise Refused(_("There are no prompts yet. Import some first."))
    prompts = dict(project.prompts.filter(is_sampled=True).values_list("pk", "digest"))
    policies = [policy for policy in policies if may_write(policy)]
    if not policies or not prompts:
        raise Refused(waits_for_approval())
    pool = {policy.pk: policy for policy in policies}
    planned = refill_plan.plan_draws(
        count=count,
        prompts=list(prompts),
        weights={pk: policy.weight for pk, policy in pool.items()},
        written=_written(loop, policies),
        choose=choose or random.SystemRandom(),
        together=project.line_up_size or 2,
        own_share=1 / OWN_SHARE if project.compares_own_answers else 0.0,
    )
    if not planned:
        raise Refused(_("The pool has answered every prompt so often that more would not help."))
    by_policy: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for prompt, policy_pk, number in planned:
        by_policy[policy_pk].append((prompt, number))
    named = {
        pk: _with_seeds(pool[pk], draws, prompts, loop) for pk, draws in sorted(by_policy.items())
    }
    return _planned(project, loop, pool, named)


def write_for_gate(*, policy: Policy) -> list[SamplingJob]:
    """Have a new policy write, and the champion where it has not: all that the project wants where
    it wants it at once, else the answers to held-out prompts, over which the two meet."""
    project = policy.project
    loop = loop_of(project)
    if loop.queue_level is None:
        return start_sampling(project=project, policies=[policy])
    return queue_once(project, lambda: _plan_for_gate(policy))


def _plan_for_gate(policy: Policy) -> list[PlannedJob]:
    project = policy.project
    loop = loop_of(project)
    others = underway(project)
    champion = project.policies.filter(state=Policy.State.CHAMPION)
    sampled = [policy for policy in sampled_policies(project) if may_write(policy)]
    writers = {writer.pk: writer for writer in (policy, *champion) if writer in sampled}
    held_out = dict(
        project.prompts.filter(is_held_out=True, is_sampled=True).values_list("pk", "digest")
    )
    named = {}
    for pk, writer in writers.items():
        sampling = sampling_of(loop, writer)
        digest = sampling_digest(sampling)
        written = seeds_written(writer, held_out, sampling) | others.draws(writer, digest)
        draws = [
            (prompt, pk, draw_seed(prompt_digest=prompt_digest, policy=writer.slug, draw=number))
            for prompt, prompt_digest in held_out.items()
            for number in range(others.covered(writer, digest), loop.completions_per_prompt)
        ]
        if owed := [draw for draw in draws if (draw[0], draw[2]) not in written]:
            named[pk] = owed
    if not named:
        raise Refused(_("Every policy in the pool has answered every prompt already."))
    return _planned(project, loop, writers, named)


def _written(loop: LoopSettings, policies: Sequence[Policy]) -> dict[tuple[int, int], int]:
    """How many answers each policy has written to each prompt, by (prompt, policy)."""
    counts = {}
    for policy in policies:
        digest = sampling_digest(sampling_of(loop, policy))
        own = Completion.objects.filter(policy=policy, sampling_digest=digest)
        for prompt, count in own.values_list("prompt_id").annotate(count=Count("pk")):
            counts[prompt, policy.pk] = count
    return counts


def _with_seeds(
    policy: Policy,
    draws: Sequence[tuple[int, int]],
    digests: Mapping[int, str],
    loop: LoopSettings,
) -> list[NamedDraw]:
    """The draws of one policy with their seeds. A number whose draw is written gives way to the
    next: jobs that were stopped leave gaps."""
    written = seeds_written(policy, {prompt for prompt, _ in draws}, sampling_of(loop, policy))
    named = []
    for prompt, number in draws:
        seed = draw_seed(prompt_digest=digests[prompt], policy=policy.slug, draw=number)
        while (prompt, seed) in written:
            number += 1
            seed = draw_seed(prompt_digest=digests[prompt], policy=policy.slug, draw=number)
        written.add((prompt, seed))
        named.append((prompt, policy.pk, seed))
    return named


def _planned(
    project: Project,
    loop: LoopSettings,
    pool: Mapping[int, Policy],
    named: Mapping[int, list[NamedDraw]],
) -> list[PlannedJob]:
    jobs = []
    by_base: dict[tuple[str, str], list[int]] = defaultdict(list)
    for pk, draws in named.items():
        policy = pool[pk]
        endpoint = endpoint_of(policy)
        if endpoint is None:
            by_base[policy.base_model, policy.base_revision].append(pk)
        else:
            jobs.append(plan_for_endpoint(project, loop, policy, endpoint, asked=draws))
    for members in by_base.values():
        asked = [draw for pk in members for draw in named[pk]]
        policies = [pool[pk] for pk in members]
        jobs.append(plan_for_engine(project, loop, policies, asked=asked))
    return jobs


def ready(project: Project) -> int:
    """How many comparisons wait for raters, gold ones apart; a line-up is all of its pairs."""
    waiting = Comparison.objects.filter(
        project=project,
        state=Comparison.State.OPEN,
        judgements_taken__lt=F("judgements_wanted"),
    )
    line_ups = LineUp.objects.filter(
        project=project, state=LineUp.State.OPEN, orders_taken__lt=F("orders_wanted")
    )
    sizes = line_ups.annotate(size=Count("places")).values_list("size", flat=True)
    pairs = sum(comb(size, 2) for size in sizes)
    return pairs + waiting.exclude(purpose=Comparison.Purpose.GOLD).count()


def level_of(project: Project, loop: LoopSettings, *, now: datetime | None = None) -> int:
    """The level of the queue in comparisons. Raises Refused where the project keeps none."""
    if loop.queue_level is None:
        raise Refused(_("This project keeps no queue level: everything is written at once."))
    if loop.queue_unit == LoopSettings.QueueUnit.COMPARISONS:
        return loop.queue_level
    since = (now or timezone.now()) - timedelta(minutes=PACE_MINUTES)
    recent = Judgement.objects.counted().filter(project=project, decided_at__gte=since)
    return refill_plan.comparisons_for(
        minutes=loop.queue_level,
        judgements=recent.exclude(comparison__purpose=Comparison.Purpose.GOLD).count(),
        over_minutes=PACE_MINUTES,
        wanted=project.judgements_wanted,
    )
