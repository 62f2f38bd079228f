"""A stub server, and a project with an endpoint on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from annotate.models import Policy
from tests.factories import make_policy, make_project
from tests.training.endpoints.stub import Stub, running_stub
from training.endpoints.guard import origin_of
from training.endpoints.keys import seal
from training.models import Endpoint, LoopSettings

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def stub(settings) -> Iterator[Stub]:
    with running_stub() as server:
        settings.ENDPOINT_HOSTS = ["127.0.0.1"]
        yield server


@pytest.fixture
def endpoint(db, stub) -> Endpoint:
    project = make_project()
    LoopSettings.objects.create(project=project, completions_per_prompt=2, max_new_tokens=32)
    policy = make_policy(project, "served", kind=Policy.Kind.ENDPOINT, endpoint=stub.url)
    return Endpoint.objects.create(
        project=project,
        policy=policy,
        url=stub.url,
        model="stub-model",
        key_sealed=seal(KEY, origin_of(stub.url)),
        sent=["temperature", "top_p", "seed"],
        timeout_seconds=10,
        concurrency=3,
        approved_at=timezone.now(),
        price_prompt=2,
        price_completion=8,
    )
