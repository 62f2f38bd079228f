"""Sampling: which completions are missing, and how the engine's lines become rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.content.completions import sampling_digest, store_completions
from annotate.models import Completion, Policy, Project, Prompt
from training.endpoints.routing import endpoint_of, job_config, may_write
from training.engine.config import ConfigError, Sampling, job_from_dict, job_to_dict
from training.errors import Refused
from training.jobs import progress
from training.jobs.claims import Claim
from training.models import Endpoint, LoopSettings, SamplingJob, loop_of
from training.policies.pool import ensure_base, loads_in_4bit, sampled_policies
from training.sampling import best_of
from training.sampling.underway import PlannedJob, Underway, queue_once, underway
from training.storage.code_version import code_version

SEED_BITS = 63
NamedDraw = tuple[int, int, int]
"""A draw that a job names: prompt, policy, seed."""


def draw_seed(*, prompt_digest: str, policy: str, draw: int) -> int:
    """The seed of one draw: the same for the same prompt, policy and number, on any machine."""
    digest = hashlib.sha256(f"{prompt_digest}\n{policy}\n{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def start_sampling(
    *, project: Project, policies: Sequence[Policy] | None = None
) -> list[SamplingJob]:
    """Queue the completions that the pool (or ``policies``) still owes to the prompts.

    One job for each base model, and one for each policy that an endpoint answers for. What another
    job is writing is not asked for again. Raises Refused where nothing is missing or nothing can
    write.
    """
    if policies is None:
        policies = sampled_policies(project)
        if loop_of(project).base_model or not policies:
            ensure_base(project=project)
            policies = sampled_policies(project)
    if not project.prompts.exists():
        raise Refused(_("There are no prompts yet. Import some first."))
    if not project.prompts.filter(is_sampled=True).exists():
        raise Refused(waits_for_approval())
    writers = list(policies)
    return queue_once(project, lambda: _plan_all_owed(project, writers))


def _plan_all_owed(project: Project, policies: Sequence[Policy]) -> list[PlannedJob]:
    """Jobs for all that ``policies`` owe and nothing is writing. Raises Refused for none."""
    loop = loop_of(project)
    others = underway(project)
    by_base: dict[tuple[str, str], list[Policy]] = {}
    served: list[tuple[Policy, Endpoint]] = []
    for policy in policies:
        if not may_write(policy) or not _owes(project, policy, loop, others):
            continue
        endpoint = endpoint_of(policy)
        if endpoint is not None:
            served.append((policy, endpoint))
        else:
            by_base.setdefault((policy.base_model, policy.base_revision), []).append(policy)
    if not by_base and not served:
        if being_written(project) is not None:
            raise Refused(_("All that is missing is being written already."))
        if not all(may_write(policy) for policy in policies):
            raise Refused(waits_for_approval())
        raise Refused(_("Every policy in the pool has answered every prompt already."))
    return [
        *(plan_for_engine(project, loop, members) for members in by_base.values()),
        *(plan_for_endpoint(project, loop, policy, endpoint) for policy, endpoint in served),
    ]


def waits_for_approval() -> str:
    """Why nothing is written where a manager has not agreed to it."""
    return _("Answers wait for your approval: see Completions, where their number and cost stand.")


def plan_for_endpoint(
    project: Project,
    loop: LoopSettings,
    policy: Policy,
    endpoint: Endpoint,
    *,
    asked: list[NamedDraw] | None = None,
) -> PlannedJob:
    """A job for what ``policy`` owes, or for the draws that are named."""
    config = job_config(endpoint, policy, sampling_of(loop, policy))
    job = SamplingJob(project=project, endpoint=endpoint, config=config)
    return _planned(job, loop, [policy], asked)


def plan_for_engine(
    project: Project,
    loop: LoopSettings,
    policies: Sequence[Policy],
    *,
    asked: list[NamedDraw] | None = None,
) -> PlannedJob:
    """A job for what the policies of one base model owe, or for the draws that are named.

    Raises Refused where the sampling settings are wrong.
    """
    job = SamplingJob(project=project, config=engine_job(loop, policies))
    return _planned(job, loop, policies, asked)


def _planned(
    job: SamplingJob,
    loop: LoopSettings,
    policies: Sequence[Policy],
    asked: list[NamedDraw] | None,
) -> PlannedJob:
    job.completions_per_prompt = loop.completions_per_prompt
    job.code_version = code_version()
    job.asked = asked
    job.total_steps = (
        sum(1 for policy in policies for _ in missing_of(job, policy))
        if asked is None
        else len(asked)
    )
    return PlannedJob(job, policies)


def engine_job(loop: LoopSettings, policies: Sequence[Policy]) -> dict[str, Any]:
    """The engine's job that samples ``policies``, all of one base model.

    Raises Refused where the sampling settings are wrong.
    """
    base = policies[0]
    try:
        job = job_from_dict(
            {
                "kind": "sample",
                "model": {
                    "base": base.base_model,
                    "revision": base.base_revision or None,
                    "trust_remote_code": settings.TRUST_REMOTE_CODE,
                },
                "adapters": {policy.slug: policy.adapter_path or None for policy in policies},
                "sampling": sampling_of(loop, base),
                "load_in_4bit": loads_in_4bit(loop.project, base.base_model),
            }
        )
    except ConfigError as error:
        message = _("The sampling settings are not valid: %(error)s.")
        raise Refused(message % {"error": error}) from error
    return job_to_dict(job)


def sampling_of(loop: LoopSettings, policy: Policy) -> dict[str, Any]:
    """The parameters that ``policy`` writes with in this project, as a job says them: what came
    later is left out where it changes nothing."""
    if policy.kind == Policy.Kind.ENDPOINT:
        return policy.served_by.sampling(loop)
    return Sampling(
        temperature=loop.temperature,
        top_p=loop.top_p,
        top_k=loop.top_k,
        max_new_tokens=loop.max_new_tokens,
        min_p=loop.min_p,
        repetition_penalty=loop.repetition_penalty,
        stop_sequences=tuple(loop.stop_sequences),
    ).as_dict()


def _owes(project: Project, policy: Policy, loop: LoopSettings, others: Underway) -> bool:
    """Whether any prompt still waits for a completion of ``policy`` under these settings that no
    other job is writing."""
    digest = sampling_digest(sampling_of(loop, policy))
    if others.covered(policy, digest) >= loop.completions_per_prompt:
        return False
    if others.draws(policy, digest):
        missing = _missing(project, policy, digest, loop.completions_per_prompt, others)
        return next(missing, None) is not None
    mine = Q(completions__policy=policy, completions__sampling_digest=digest)
    return (
        Prompt.objects.filter(project=project, is_sampled=True)
        .annotate(written=Count("completions", filter=mine))
        .filter(written__lt=loop.completions_per_prompt)
        .exists()
    )


def _missing(
    project: Project, policy: Policy, digest: str, count: int, others: Underway
) -> Iterator[tuple[Prompt, int]]:
    """(prompt, seed) of each of ``count`` draws by the sampling parameters of ``digest`` that
    ``policy`` has not written and ``others`` are not writing."""
    written = others.draws(policy, digest) | set(
        Completion.objects.filter(policy=policy, sampling_digest=digest).values_list(
            "prompt_id", "seed"
        )
    )
    prompts = Prompt.objects.filter(project=project, is_sampled=True).order_by("pk")
    for prompt in prompts.iterator():
        for draw in range(others.covered(policy, digest), count):
            seed = draw_seed(prompt_digest=prompt.digest, policy=policy.slug, draw=draw)
            if (prompt.pk, seed) not in written:
                yield prompt, seed


def missing_of(job: SamplingJob, policy: Policy) -> Iterator[tuple[Prompt, int]]:
    """(prompt, seed) of every draw that ``policy`` still owes by the settings of ``job``."""
    if job.asked is not None:
        yield from _asked(job, policy, job.asked)
        return
    yield from _missing(
        job.project,
        policy,
        sampling_digest(job.config["sampling"]),
        job.completions_per_prompt,
        underway(job.project, besides=job if job.pk else None),
    )


def _asked(
    job: SamplingJob, policy: Policy, draws: Sequence[NamedDraw]
) -> Iterator[tuple[Prompt, int]]:
    """The draws of ``policy`` that the job names, except those that are written."""
    own = [(prompt, seed) for prompt, writer, seed in draws if writer == policy.pk]
    prompts = Prompt.objects.in_bulk({prompt for prompt, _ in own})
    written = seeds_written(policy, prompts, job.config["sampling"])
    for prompt, seed in own:
        if prompt in prompts and (prompt, seed) not in written:
            yield prompts[prompt], seed


def seeds_written(
    policy: Policy, prompts: Iterable[int], sampling: dict[str, Any]
) -> set[tuple[int, int]]:
    """(prompt, seed) of what ``policy`` has written to these prompts with these parameters."""
    written = Completion.objects.filter(
        policy=policy, prompt__in=list(prompts), sampling_digest=sampling_digest(sampling)
    )
    return set(written.values_list("prompt_id", "seed"))


def prepare(*, job: SamplingJob, run_dir: Path) -> bool:
    """Write ``prompts.jsonl``: one line for every completion that is asked for. False where there
    is none: others have written them all."""
    target = run_dir / "prompts.jsonl"
    if target.exists():
        return target.stat().st_size > 0
    temporary = run_dir / "prompts.part"
    lines = 0
    with temporary.open("w", encoding="utf-8") as file:
        for policy in job.policies.order_by("pk"):
            for prompt, seed in missing_of(job, policy):
                for line in _lines(prompt, policy, seed):
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")
                lines += 1
    temporary.replace(target)
    SamplingJob.objects.filter(pk=job.pk).update(total_steps=lines)
    return lines > 0


def _lines(prompt: Prompt, policy: Policy, seed: int) -> Iterator[dict[str, Any]]:
    """What the engine is asked for one draw: one answer, or the n of a best-of-n policy."""
    key = f"{prompt.pk}:{policy.pk}:{seed}"
    draws = best_of.numbered(key, seed, policy.best_of) if policy.best_of else [(key, seed)]
    for name, own_seed in draws:
        yield {
            "id": name,
            "messages": prompt.messages,
            "policy": policy.slug,
            "seed": own_seed,
        }


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
    now = timezone.now().timestamp()
    marks = [(job.started_at.timestamp(), 0), (now, job.stored)]
    left = progress.seconds_left(marks, total_steps=job.total_steps, now=now)
    return None if left is None else int(left)
