"""Sampling: which completions are missing, and how the engine's lines become rows."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.completions import sampling_digest, store_completions
from annotate.models import Comparison, Completion, Policy, Project, Prompt
from annotate.pace import verdicts_of
from training import best_of, freshness
from training.claims import Claim
from training.engine.config import ConfigError, job_from_dict, job_to_dict
from training.errors import NotNow
from training.models import LoopSettings, SamplingJob
from training.nudge import nudge
from training.pool import ensure_base, loop_of, sampled_policies
from training.versions import code_version

SEED_BITS = 63
PACE_MINUTES = 30
"""Over how long the raters' present pace is measured."""


def draw_seed(*, prompt_digest: str, policy: str, draw: int) -> int:
    """The seed of one draw: the same for the same prompt, policy and number, on any machine."""
    digest = hashlib.sha256(f"{prompt_digest}\n{policy}\n{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def start_sampling(
    *, project: Project, policies: Sequence[Policy] | None = None
) -> list[SamplingJob]:
    """Queue the completions that the pool (or ``policies``) still owes to the prompts.

    One job for each base model. Raises NotNow where nothing is missing or nothing can write.
    """
    loop = loop_of(project)
    if policies is None:
        ensure_base(project=project)
        policies = sampled_policies(project)
    if not project.prompts.exists():
        raise NotNow(_("There are no prompts yet. Import some first."))
    by_base: dict[tuple[str, str], list[Policy]] = {}
    for policy in policies:
        if _owes(project, policy, loop):
            by_base.setdefault((policy.base_model, policy.base_revision), []).append(policy)
    if not by_base:
        raise NotNow(_("Every policy in the pool has answered every prompt already."))
    return [_queue(project, loop, base, members) for base, members in by_base.items()]


def fill_queue(*, project: Project, choose: random.Random | None = None) -> list[SamplingJob]:
    """Queue what fills the raters' queue up to the level that the project keeps.

    One job for each base model. Raises NotNow where the queue is full enough, where the project
    keeps no level, or nothing can write.
    """
    loop = loop_of(project)
    ensure_base(project=project)
    count = freshness.shortfall(ready=ready(project), level=level_of(project, loop))
    if not count:
        raise NotNow(_("The raters' queue is full enough."))
    pool = {policy.pk: policy for policy in sampled_policies(project)}
    prompts = {prompt.pk: prompt.digest for prompt in project.prompts.only("pk", "digest")}
    if not prompts:
        raise NotNow(_("There are no prompts yet. Import some first."))
    if not pool:
        raise NotNow(_("No policy in the pool can be sampled."))
    drawn = Completion.objects.filter(
        policy__in=pool, sampling_digest=sampling_digest(_sampling_of(loop))
    )
    planned = freshness.plan_draws(
        count=count,
        prompts=list(prompts),
        weights={pk: policy.weight for pk, policy in pool.items()},
        written=Counter(drawn.values_list("prompt_id", "policy_id")),
        choose=choose or random.SystemRandom(),
    )
    if not planned:
        raise NotNow(_("The pool has answered every prompt so often that more would be no help."))
    by_base: dict[tuple[str, str], list[freshness.Draw]] = {}
    for draw in planned:
        policy = pool[draw[1]]
        by_base.setdefault((policy.base_model, policy.base_revision), []).append(draw)
    return [
        _queue(
            project,
            loop,
            base,
            [pool[pk] for pk in sorted({policy for _, policy, _ in draws})],
            asked=draws,
        )
        for base, draws in by_base.items()
    ]


def ready(project: Project) -> int:
    """How many comparisons wait for raters, gold ones apart."""
    waiting = Comparison.objects.filter(
        project=project,
        state=Comparison.State.OPEN,
        judgements_taken__lt=F("judgements_wanted"),
    )
    return waiting.exclude(purpose=Comparison.Purpose.GOLD).count()


def level_of(project: Project, loop: LoopSettings, *, now: datetime | None = None) -> int:
    """The level of the queue in comparisons. Raises NotNow where the project keeps none."""
    if loop.queue_level is None:
        raise NotNow(_("This project keeps no level of its queue: all is written at once."))
    if loop.queue_unit == LoopSettings.QueueUnit.COMPARISONS:
        return loop.queue_level
    since = (now or timezone.now()) - timedelta(minutes=PACE_MINUTES)
    recent = verdicts_of(project).filter(decided_at__gte=since)
    return freshness.comparisons_for(
        minutes=loop.queue_level,
        judgements=recent.exclude(comparison__purpose=Comparison.Purpose.GOLD).count(),
        over_minutes=PACE_MINUTES,
        wanted=project.judgements_wanted,
    )


@transaction.atomic
def _queue(
    project: Project,
    loop: LoopSettings,
    base: tuple[str, str],
    policies: list[Policy],
    *,
    asked: list[freshness.Draw] | None = None,
) -> SamplingJob:
    try:
        job = job_from_dict(
            {
                "kind": "sample",
                "model": {
                    "base": base[0],
                    "revision": base[1] or None,
                    "trust_remote_code": settings.TRUST_REMOTE_CODE,
                },
                "adapters": {policy.slug: policy.adapter_path or None for policy in policies},
                "sampling": _sampling_of(loop),
            }
        )
    except ConfigError as error:
        words = _("The sampling settings do not fit: %(error)s.")
        raise NotNow(words % {"error": error}) from error
    made = SamplingJob.objects.create(
        project=project,
        completions_per_prompt=loop.completions_per_prompt,
        config=job_to_dict(job),
        code_version=code_version(),
        asked=asked,
        total_steps=(
            sum(1 for policy in policies for _ in _missing(project, policy, loop))
            if asked is None
            else len(asked)
        ),
    )
    made.policies.set(policies)
    transaction.on_commit(lambda: nudge(made))
    return made


def start_due_sampling() -> list[SamplingJob]:
    """Queue what is missing wherever prompts wait and nothing is being written.

    After a failed job a person decides; it is not tried again by itself.
    """
    started: list[SamplingJob] = []
    loops = LoopSettings.objects.select_related("project").exclude(base_model="")
    for loop in loops.filter(project__is_paused=False):
        last = SamplingJob.objects.filter(project=loop.project).first()
        if last is not None and last.state != SamplingJob.State.SUCCEEDED:
            continue
        start = start_sampling if loop.queue_level is None else fill_queue
        try:
            started += start(project=loop.project)
        except NotNow:
            continue
    return started


def _sampling_of(loop: LoopSettings) -> dict[str, Any]:
    return {
        "temperature": loop.temperature,
        "top_p": loop.top_p,
        "top_k": loop.top_k,
        "max_new_tokens": loop.max_new_tokens,
    }


def _owes(project: Project, policy: Policy, loop: LoopSettings) -> bool:
    """Whether any prompt still waits for a completion of ``policy`` under these settings."""
    mine = Q(
        completions__policy=policy,
        completions__sampling_digest=sampling_digest(_sampling_of(loop)),
    )
    return (
        Prompt.objects.filter(project=project)
        .annotate(written=Count("completions", filter=mine))
        .filter(written__lt=loop.completions_per_prompt)
        .exists()
    )


def _missing(project: Project, policy: Policy, loop: LoopSettings) -> Iterator[tuple[Prompt, int]]:
    """(prompt, seed) of every draw that ``policy`` has not written under these settings."""
    digest = sampling_digest(_sampling_of(loop))
    written = set(
        Completion.objects.filter(policy=policy, sampling_digest=digest).values_list(
            "prompt_id", "seed"
        )
    )
    for prompt in Prompt.objects.filter(project=project).order_by("pk").iterator():
        for draw in range(loop.completions_per_prompt):
            seed = draw_seed(prompt_digest=prompt.digest, policy=policy.slug, draw=draw)
            if (prompt.pk, seed) not in written:
                yield prompt, seed


def _asked(
    job: SamplingJob, draws: Sequence[freshness.Draw]
) -> Iterator[tuple[Policy, Prompt, int]]:
    """(policy, prompt, seed) of every draw that the job names, except what is written.

    A number that was written in the meantime gives way to the next one that was not.
    """
    policies = {policy.pk: policy for policy in job.policies.all()}
    prompts = Prompt.objects.in_bulk({prompt for prompt, _, _ in draws})
    taken = set(
        Completion.objects.filter(
            policy__in=policies,
            prompt__in=prompts,
            sampling_digest=sampling_digest(job.config["sampling"]),
        ).values_list("prompt_id", "policy_id", "seed")
    )
    for prompt_pk, policy_pk, number in sorted(draws, key=lambda draw: draw[1]):
        prompt, policy = prompts.get(prompt_pk), policies.get(policy_pk)
        if prompt is None or policy is None:
            continue
        seed = draw_seed(prompt_digest=prompt.digest, policy=policy.slug, draw=number)
        while (prompt_pk, policy_pk, seed) in taken:
            number += 1
            seed = draw_seed(prompt_digest=prompt.digest, policy=policy.slug, draw=number)
        taken.add((prompt_pk, policy_pk, seed))
        yield policy, prompt, seed


def _owed(job: SamplingJob) -> Iterator[tuple[Policy, Prompt, int]]:
    """(policy, prompt, seed) of all that the job's policies have not written."""
    loop = loop_of(job.project)
    loop.completions_per_prompt = job.completions_per_prompt
    for name, value in job.config["sampling"].items():
        setattr(loop, name, value)
    for policy in job.policies.order_by("pk"):
        for prompt, seed in _missing(job.project, policy, loop):
            yield policy, prompt, seed


def prepare(*, job: SamplingJob, run_dir: Path) -> None:
    """Write ``prompts.jsonl``: one line for every completion that is asked for."""
    target = run_dir / "prompts.jsonl"
    if target.exists():
        return
    temporary = run_dir / "prompts.part"
    lines = 0
    with temporary.open("w", encoding="utf-8") as file:
        for policy, prompt, seed in _owed(job) if job.asked is None else _asked(job, job.asked):
            key = f"{prompt.pk}:{policy.pk}:{seed}"
            draws = best_of.numbered(key, seed, policy.best_of) if policy.best_of else [(key, seed)]
            for name, own_seed in draws:
                line = {
                    "id": name,
                    "messages": prompt.messages,
                    "policy": policy.slug,
                    "seed": own_seed,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines += 1
    temporary.replace(target)
    SamplingJob.objects.filter(pk=job.pk).update(total_steps=lines)


def store(*, job: SamplingJob, claim: Claim, lines: Sequence[dict[str, Any]]) -> bool:
    """Store what the engine has written so far. False where the claim no longer holds.

    Of best-of-n policies only what ``best_of.choose`` gives.
    """
    lines = [line for line in lines if not best_of.is_one_of_many(line)]
    if not lines:
        return True
    rows = []
    for line in lines:
        prompt, policy, seed = (int(part) for part in str(line["id"]).split(":"))
        rows.append(
            Completion(
                prompt_id=prompt,
                policy_id=policy,
                text=line["text"],
                seed=seed,
                sampling=job.config["sampling"],
                finish_reason=line["finish_reason"],
                token_count=line["token_count"],
                logprob=line["logprob"],
            )
        )
    return claim.update(stored=F("stored") + store_completions(rows=rows, screened_for=job.project))


def being_written(project: Project) -> SamplingJob | None:
    """The project's sampling job under way, if there is one."""
    return SamplingJob.objects.filter(project=project, state__in=SamplingJob.UNFINISHED).first()


def seconds_left(job: SamplingJob) -> int | None:
    """At the pace so far, how long the job has to go; None before there is a pace."""
    if not job.started_at or not job.stored or job.total_steps <= job.stored:
        return None
    elapsed = (timezone.now() - job.started_at).total_seconds()
    return int(elapsed / job.stored * (job.total_steps - job.stored))
