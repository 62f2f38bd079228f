"""What is written only after a manager has seen how much it is: the prompts of imported pairs, and
endpoints that were never asked."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate.content.completions import sampling_digest
from annotate.models import Completion, Policy, Project
from training.endpoints.routing import endpoint_of
from training.errors import Refused
from training.models import Endpoint, LoopSettings, SamplingJob, loop_of
from training.policies.pool import sampled_policies
from training.sampling.jobs import sampling_of

CHARACTERS_A_TOKEN = 4
"""About, where no tokenizer is at hand: for what an endpoint reads of a prompt."""

PROMPTS_MEASURED, JOBS_MEASURED = 200, 5


@dataclasses.dataclass(frozen=True)
class WaitingAnswers:
    """Answers that wait for a manager.

    ``endpoint``: the one that would be asked, None for prompts of imported pairs. ``answers``: how
    many to the present prompts. ``seconds``: at the pace of earlier jobs; None before there is one.
    ``cost``: in the endpoint's currency, at most; None where nothing is paid for.
    """

    endpoint: Endpoint | None
    prompts: int
    answers: int
    seconds: float | None
    cost: Decimal | None
    currency: str = ""


def waiting_answers(project: Project) -> list[WaitingAnswers]:
    """All that waits for a manager's word; nothing where nothing does."""
    loop = loop_of(project)
    waiting = []
    imported = project.prompts.filter(is_sampled=False).count()
    writers = sampled_policies(project)
    if imported and writers:
        answers = imported * loop.completions_per_prompt * len(writers)
        costs = [cost for policy in writers if (cost := _cost(project, loop, policy)) is not None]
        each = imported * loop.completions_per_prompt
        waiting.append(
            WaitingAnswers(
                endpoint=None,
                prompts=imported,
                answers=answers,
                seconds=_seconds(answers, _pace(SamplingJob.objects.filter(project=project))),
                cost=each * sum(costs, Decimal(0)) if costs else None,
                currency=_currency(project),
            )
        )
    prompts = project.prompts.filter(is_sampled=True).count()
    for endpoint in project.endpoints.filter(approved_at=None).select_related("policy"):
        policies = [policy for policy in writers if endpoint_of(policy) == endpoint]
        if not policies or not prompts:
            continue
        owed = sum(_owed(loop, policy, prompts) for policy in policies)
        cost = _cost(project, loop, policies[0])
        waiting.append(
            WaitingAnswers(
                endpoint=endpoint,
                prompts=prompts,
                answers=owed,
                seconds=_seconds(owed, _pace(SamplingJob.objects.filter(endpoint=endpoint))),
                cost=None if cost is None else owed * cost,
                currency=endpoint.currency,
            )
        )
    return waiting


def approve_imported(*, project: Project) -> int:
    """Have the pool answer the prompts of imported pairs too. Returns how many there are."""
    return project.prompts.filter(is_sampled=False).update(is_sampled=True)


def approve_endpoint(*, project: Project, pk: int) -> Endpoint:
    """Let the endpoint be asked from now on. Raises Refused where it is gone."""
    endpoint = project.endpoints.filter(pk=pk).first()
    if endpoint is None:
        raise Refused(_("The endpoint is gone."))
    if endpoint.approved_at is None:
        endpoint.approved_at = timezone.now()
        endpoint.save(update_fields=["approved_at"])
    return endpoint


def _currency(project: Project) -> str:
    endpoint = project.endpoints.first()
    return endpoint.currency if endpoint is not None else ""


def _owed(loop: LoopSettings, policy: Policy, prompts: int) -> int:
    """How many answers ``policy`` has not written to this many prompts."""
    written = Completion.objects.filter(
        policy=policy,
        prompt__is_sampled=True,
        sampling_digest=sampling_digest(sampling_of(loop, policy)),
    ).count()
    return max(0, prompts * loop.completions_per_prompt - written)


def _cost(project: Project, loop: LoopSettings, policy: Policy) -> Decimal | None:
    """What one answer costs at most, as long as it may be; None where the engine writes it."""
    endpoint = endpoint_of(policy)
    if endpoint is None:
        return None
    rows = project.prompts.order_by("pk").values_list("messages", flat=True)[:PROMPTS_MEASURED]
    sizes = [sum(len(message["content"]) for message in messages) for messages in rows]
    read = sum(sizes) / max(1, len(sizes)) / CHARACTERS_A_TOKEN
    cost = endpoint.cost_of(round(read), loop.max_new_tokens)
    return cost or None


def _pace(jobs: QuerySet[SamplingJob]) -> float | None:
    """Answers a second, over the last jobs; None before there is one."""
    ended = jobs.filter(state=SamplingJob.State.SUCCEEDED, stored__gt=0).order_by("-pk")
    times = ended.values_list("stored", "started_at", "finished_at")[:JOBS_MEASURED]
    seconds = sum((end - start).total_seconds() for _, start, end in times if start and end)
    return sum(stored for stored, _, _ in times) / seconds if seconds > 0 else None


def _seconds(answers: int, pace: float | None) -> float | None:
    return None if pace is None else answers / pace
