"""Asking two policies the same thing: who stands where, and what is queued."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from annotate.content.prompts import NewPrompt, StoredPrompts, store_prompts
from annotate.models import Message, Policy, Project, User
from training.endpoints.routing import endpoint_of, job_config
from training.jobs.dispatch import dispatch
from training.models import LoopSettings, Tryout, TryoutAnswer, loop_of
from training.sampling.jobs import engine_job, sampling_of

_draw = random.SystemRandom()
SEEDS = 2**31


def policies_that_answer(project: Project) -> QuerySet[Policy]:
    """The policies that can be asked, retired ones too, newest first."""
    kinds = (Policy.Kind.BASE, Policy.Kind.ADAPTER, Policy.Kind.ENDPOINT)
    policies = Policy.objects.filter(project=project, kind__in=kinds)
    return policies.exclude(kind=Policy.Kind.ENDPOINT, served_by=None).order_by("-pk")


@transaction.atomic
def ask(
    *,
    project: Project,
    asked_by: User,
    messages: Sequence[Message],
    policies: tuple[Policy, Policy],
    blind: bool,
) -> Tryout:
    """Queue an answer by each of two policies; where ``blind``, on sides that are drawn.

    Raises Refused where the project's settings do not fit.
    """
    loop = loop_of(project)
    made = Tryout.objects.create(
        project=project, asked_by=asked_by, messages=list(messages), is_blind=blind
    )
    ordered = list(policies)
    if blind and _draw.random() < 0.5:
        ordered.reverse()
    answers = [
        TryoutAnswer.objects.create(
            tryout=made,
            side=side,
            policy=policy,
            seed=_draw.randrange(SEEDS),
            config=_config(policy, loop),
        )
        for side, policy in zip(TryoutAnswer.Side, ordered, strict=True)
    ]
    for answer in answers:
        transaction.on_commit(partial(dispatch, answer))
    return made


def _config(policy: Policy, loop: LoopSettings) -> dict[str, Any]:
    endpoint = endpoint_of(policy)
    if endpoint is not None:
        return job_config(endpoint, policy, sampling_of(loop, policy))
    return engine_job(loop, [policy])


def keep_prompt(*, tryout: Tryout) -> StoredPrompts:
    """Put the tryout's prompt into its project, where it is not there yet."""
    new = NewPrompt(messages=tryout.messages)
    return store_prompts(project=tryout.project, prompts=[new], source="playground")
