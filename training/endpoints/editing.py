"""Adding and changing endpoints, and trying one out."""

from __future__ import annotations

import asyncio
import dataclasses
import time

from django.db import transaction
from django.utils.translation import gettext

from annotate.models import Policy, Project
from training.endpoints.answers import EndpointAnswer, EndpointError
from training.endpoints.guard import AddressRefused, origin_of
from training.endpoints.keys import seal
from training.models import Endpoint

TRIAL_SECONDS = 20
TRIAL = [{"role": "user", "content": "Say hello in one short sentence."}]


COUNTED = {"prompt_tokens", "completion_tokens", "cost"}
"""What a job counts meanwhile, so a form must not write it back."""


@transaction.atomic
def save_endpoint(
    *, project: Project, endpoint: Endpoint, name: str, key: str = "", forget_key: bool = False
) -> bool:
    """Store ``endpoint``, with its policy where it is new. Returns whether a key was erased.

    A key stays with the host that it was given for: where scheme, host or port change and no
    new key comes with it, the stored one is erased.
    """
    origin = origin_of(endpoint.url)
    moved = False
    if endpoint.pk is None:
        endpoint.project = project
        endpoint.policy = Policy.objects.create(
            project=project, slug=name, kind=Policy.Kind.ENDPOINT
        )
    else:
        before = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        endpoint.key_sealed = before.key_sealed
        moved = bool(before.key_sealed) and _origin_text(before.url) != str(origin)
    if key:
        endpoint.key_sealed = seal(key, origin)
    elif moved or forget_key:
        endpoint.key_sealed = ""
    if endpoint.pk is None:
        endpoint.save()
    else:
        fields = {field.name for field in endpoint._meta.concrete_fields}
        endpoint.save(update_fields=fields - COUNTED - {"id"})
    Policy.objects.filter(pk=endpoint.policy_id).update(endpoint=endpoint.url)
    return (moved or forget_key) and not key


def _origin_text(url: str) -> str:
    try:
        return str(origin_of(url))
    except AddressRefused:
        return ""


@dataclasses.dataclass(frozen=True)
class EndpointTrial:
    """What came of asking once."""

    answer: EndpointAnswer
    seconds: float


def try_out(endpoint: Endpoint) -> EndpointTrial:
    """Ask one short question, once. Raises Trouble; of an unknown model, with those known."""
    endpoint.timeout_seconds = min(endpoint.timeout_seconds, TRIAL_SECONDS)
    began = time.monotonic()
    answer = asyncio.run(_ask(endpoint))
    return EndpointTrial(answer, time.monotonic() - began)


async def _ask(endpoint: Endpoint) -> EndpointAnswer:
    from training.endpoints.client import connected  # takes long to import, and is seldom needed

    async with connected(endpoint) as client:
        try:
            return await client.answer(TRIAL, endpoint.trial_sampling())
        except EndpointError as trouble:
            if trouble.kind != "endpoint":
                raise
            try:
                known = await client.models()
            except EndpointError:
                raise trouble from None
            raise EndpointError(f"{trouble} {_those(known)}".strip(), trouble.kind) from None


def _those(known: list[str]) -> str:
    if not known:
        return ""
    return gettext("It knows: %(models)s.") % {"models": ", ".join(known[:8])}
