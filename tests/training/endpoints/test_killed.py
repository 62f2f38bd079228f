"""A worker that is killed while an endpoint answers: the next one writes the rest, once."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from annotate.models import Completion
from tests.conftest import child_environment, running, wait_for
from tests.factories import make_prompt
from tests.training.endpoints import stub as does
from training.endpoints.routing import job_config
from training.jobs.claims import sweep_dead
from training.models import SamplingJob
from training.sampling.endpoint_worker import run_writing

pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]

PROMPTS = 40


@pytest.mark.slow
def test_a_killed_job_goes_on_and_writes_nothing_twice(endpoint, stub):
    for _ in range(PROMPTS):
        make_prompt(endpoint.project)
    stub.then = does.slow(0.05)
    job = SamplingJob.objects.create(
        project=endpoint.project,
        endpoint=endpoint,
        completions_per_prompt=2,
        config=job_config(endpoint, endpoint.policy, {"max_new_tokens": 32}),
    )
    job.policies.set([endpoint.policy])
    command = [
        *(sys.executable, "manage.py", "shell", "-v0", "-c"),
        f"from training.sampling.endpoint_worker import run_writing; run_writing({job.pk})",
    ]
    environment = child_environment(WHETSTONE_ENDPOINT_HOSTS="127.0.0.1")
    with running(command, log=settings.HOME / "killed.log", env=environment) as child:
        wait_for(lambda: Completion.objects.count() >= 5 or child.poll() is not None, "answers")
        child.kill()
        child.wait()
    job.refresh_from_db()
    assert (job.state, child.returncode) == ("running", -9)
    assert 5 <= Completion.objects.count() < 2 * PROMPTS
    sweep_dead(SamplingJob, now=timezone.now() + timedelta(seconds=settings.STALE_SECONDS + 1))
    run_writing(job.pk)
    job.refresh_from_db()
    assert (job.state, job.stored, job.error) == ("succeeded", 2 * PROMPTS, "")
    draws = Completion.objects.values_list("prompt_id", "seed")
    assert len(draws) == 2 * PROMPTS
    assert set(Counter(draws).values()) == {1}
