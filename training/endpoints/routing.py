"""Who writes a policy's completions: the engine here, or an endpoint."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from annotate.models import Policy
from training.models import Endpoint


def endpoint_of(policy: Policy) -> Endpoint | None:
    """The endpoint that answers for ``policy``; None where the engine does.

    An adapter goes to an endpoint of its project that loads adapters of the same base model.
    """
    if policy.kind == Policy.Kind.ENDPOINT:
        return policy.served_by
    if policy.kind != Policy.Kind.ADAPTER or not policy.base_model:
        return None
    serving = Endpoint.objects.filter(project=policy.project_id, adapters_of=policy.base_model)
    return serving.order_by("pk").first()


def may_write(policy: Policy) -> bool:
    """Whether ``policy`` may be sampled: an endpoint is asked only after a manager agreed to it."""
    endpoint = endpoint_of(policy)
    return endpoint is None or endpoint.approved_at is not None


def job_config(endpoint: Endpoint, policy: Policy, sampling: dict[str, Any]) -> dict[str, Any]:
    """What a job remembers of how its completions were asked for."""
    return {
        "kind": "endpoint",
        "url": endpoint.url,
        "model": model_name(endpoint, policy),
        "sampling": sampling,
    }


def model_name(endpoint: Endpoint, policy: Policy) -> str:
    """What the endpoint calls ``policy``'s model.

    An adapter is called as its folder: project, round and digest are in it, so no two rounds
    share a name (vLLM would answer from the cache of the adapter that had the name before).
    """
    if policy.kind == Policy.Kind.ENDPOINT:
        return endpoint.model
    return PurePath(policy.adapter_path).name


def adapter_path(endpoint: Endpoint, policy: Policy) -> str:
    """Where the endpoint finds the adapter's folder."""
    if not endpoint.adapters_dir:
        return policy.adapter_path
    return str(PurePath(endpoint.adapters_dir) / PurePath(policy.adapter_path).name)
