"""Sampling: which completions are missing, and how the engine's lines become rows."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.completions import sampling_digest, store_completions
from annotate.models import Completion, Policy, Project, Prompt
from training.claims import Claim
from training.engine.config import ConfigError, SampleJob, Sampling, job_from_dict, job_to_dict
from training.errors import NotNow
from training.models import LoopSettings, SamplingJob
from training.nudge import nudge
from training.pool import ensure_base, loop_of, sampled_policies
from training.versions import code_version

SEED_BITS = 63


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
    if policies is None:
        ensure_base(project=project)
        policies = sampled_policies(project)
    if not project.prompts.exists():
        raise NotNow(_("There are no prompts yet. Import some first."))
    loop = loop_of(project)
    by_base: dict[tuple[str, str], list[Policy]] = {}
    for policy in policies:
        if _owes(project, policy, loop):
            by_base.setdefault((policy.base_model, policy.base_revision), []).append(policy)
    if not by_base:
        raise NotNow(_("Every policy in the pool has answered every prompt already."))
    return [_queue(project, loop, base, members) for base, members in by_base.items()]


@transaction.atomic
def _queue(
    project: Project, loop: LoopSettings, base: tuple[str, str], policies: list[Policy]
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
        total_steps=sum(1 for policy in policies for _ in _missing(project, policy, loop)),
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
        try:
            started += start_sampling(project=loop.project)
        except NotNow:
            continue
    return started


def _sampling_of(loop: LoopSettings) -> dict[str, Any]:
    """As a job says it: what came later is left out where it changes nothing."""
    return Sampling(
        temperature=loop.temperature,
        top_p=loop.top_p,
        top_k=loop.top_k,
        max_new_tokens=loop.max_new_tokens,
        min_p=loop.min_p,
        repetition_penalty=loop.repetition_penalty,
        stop_sequences=tuple(loop.stop_sequences),
    ).as_dict()


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


def prepare(*, job: SamplingJob, run_dir: Path) -> None:
    """Write ``prompts.jsonl``: one line for every completion that is asked for."""
    target = run_dir / "prompts.jsonl"
    if target.exists():
        return
    loop = loop_of(job.project)
    loop.completions_per_prompt = job.completions_per_prompt
    for name, value in dataclasses.asdict(_asked(job)).items():
        setattr(loop, name, value)
    temporary = run_dir / "prompts.part"
    lines = 0
    with temporary.open("w", encoding="utf-8") as file:
        for policy in job.policies.order_by("pk"):
            for prompt, seed in _missing(job.project, policy, loop):
                line = {
                    "id": f"{prompt.pk}:{policy.pk}:{seed}",
                    "messages": prompt.messages,
                    "policy": policy.slug,
                    "seed": seed,
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                lines += 1
    temporary.replace(target)
    SamplingJob.objects.filter(pk=job.pk).update(total_steps=lines)


def _asked(job: SamplingJob) -> Sampling:
    """The job's sampling settings, those that it leaves out included."""
    asked = job_from_dict(job.config)
    if not isinstance(asked, SampleJob):
        raise TypeError(asked)
    return asked.sampling


def store(*, job: SamplingJob, claim: Claim, lines: Sequence[dict[str, Any]]) -> bool:
    """Store what the engine has written so far. False where the claim no longer holds."""
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
    return claim.update(stored=F("stored") + store_completions(rows=rows))


def being_written(project: Project) -> SamplingJob | None:
    """The project's sampling job under way, if there is one."""
    return SamplingJob.objects.filter(project=project, state__in=SamplingJob.UNFINISHED).first()


def seconds_left(job: SamplingJob) -> int | None:
    """At the pace so far, how long the job has to go; None before there is a pace."""
    if not job.started_at or not job.stored or job.total_steps <= job.stored:
        return None
    elapsed = (timezone.now() - job.started_at).total_seconds()
    return int(elapsed / job.stored * (job.total_steps - job.stored))
