"""Prompts of imported pairs and new endpoints are written for after a manager has said so."""

from __future__ import annotations

import io
import json
from decimal import Decimal

import pytest
from django.urls import reverse

from annotate.importing.services import import_file
from annotate.models import Policy, Prompt
from tests.factories import make_policy, make_prompt
from training.errors import Refused
from training.models import Endpoint, LoopSettings, SamplingJob
from training.policies.pool import ensure_base
from training.sampling import jobs as sampling_jobs
from training.sampling import refill
from training.sampling.approval import waiting_answers

pytestmark = pytest.mark.django_db
PAIRS = [
    {"prompt": f"Question {n}?", "chosen": "A good answer.", "rejected": "A bad one."}
    for n in range(3)
]


@pytest.fixture
def project(cast):
    LoopSettings.objects.create(
        project=cast.project, base_model="some/model", completions_per_prompt=2, queue_level=None
    )
    return cast.project


def imported(project, kind, rows):
    file = io.BytesIO("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    return import_file(project=project, kind=kind, file=file, source="a.jsonl")


def paid_endpoint(project):
    policy = make_policy(project, "served", kind=Policy.Kind.ENDPOINT)
    return Endpoint.objects.create(
        project=project, policy=policy, url="https://example.org/v1", model="m", price_completion=10
    )


def test_prompts_of_imported_pairs_wait_until_a_manager_agrees(project, cast, client_of):
    imported(project, "pairs", PAIRS)
    ensure_base(project=project)
    assert refill.start_due_sampling() == []
    with pytest.raises(Refused, match="approval"):
        sampling_jobs.start_sampling(project=project)
    (waiting,) = waiting_answers(project)
    assert (waiting.prompts, waiting.answers, waiting.cost) == (3, 6, None)
    page = client_of(cast.manager).get(reverse("sampling", args=[project.slug])).content.decode()
    assert "<strong>3 prompts</strong> came with imported pairs" in page
    assert "That is 6 answers" in " ".join(page.split())
    client_of(cast.manager).post(reverse("approve_sampling", args=[project.slug]))
    job = SamplingJob.objects.get()
    assert job.total_steps == 6
    assert waiting_answers(project) == []


def test_with_a_level_they_are_drawn_only_after_that_too(project, cast, client_of):
    LoopSettings.objects.update(queue_level=4)
    make_prompt(project, "Asked of the pool")
    imported(project, "pairs", PAIRS)
    (job,) = refill.start_due_sampling()
    assert {prompt for prompt, _, _ in job.asked} == {Prompt.objects.get(source="").pk}


def test_a_prompt_that_is_imported_as_one_is_answered(project):
    imported(project, "pairs", PAIRS)
    imported(project, "prompts", [{"prompt": "Question 1?"}])
    assert Prompt.objects.filter(is_sampled=True).count() == 1
    imported(project, "pairs", PAIRS)
    assert Prompt.objects.filter(is_sampled=True).count() == 1


def test_a_new_endpoint_is_asked_after_a_manager_has_seen_the_cost(project, cast, client_of):
    LoopSettings.objects.update(base_model="", max_new_tokens=500)
    endpoint = paid_endpoint(project)
    for _ in range(5):
        make_prompt(project)
    assert refill.start_due_sampling() == []
    (waiting,) = waiting_answers(project)
    assert (waiting.endpoint, waiting.answers) == (endpoint, 10)
    assert waiting.cost == 10 * Decimal(500) * 10 / 1_000_000
    manager = client_of(cast.manager)
    page = manager.get(reverse("sampling", args=[project.slug])).content.decode()
    assert "Ask served" in page
    assert "at most about" in page
    manager.post(reverse("start_sampling", args=[project.slug]))
    assert not SamplingJob.objects.exists()
    manager.post(reverse("approve_sampling", args=[project.slug]), {"endpoint": endpoint.pk})
    assert SamplingJob.objects.get().endpoint == endpoint
    SamplingJob.objects.update(state="succeeded")
    make_prompt(project)
    (job,) = refill.start_due_sampling()  # agreed to once
    assert job.endpoint == endpoint


def test_a_rater_cannot_agree(project, cast, client_of):
    endpoint = paid_endpoint(project)
    address = reverse("approve_sampling", args=[project.slug])
    assert client_of(cast.rater).post(address, {"endpoint": endpoint.pk}).status_code in (403, 404)
    assert client_of(cast.manager).post(address, {"endpoint": "0"}).status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.approved_at is None
