"""A real server: ``transformers serve`` on the loopback address, with the built-in model."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from annotate.models import Completion, Policy
from tests.conftest import running, wait_for
from tests.factories import make_policy, make_project, make_prompt
from training.demo import MODEL_DIR
from training.endpoints.editing import try_out
from training.models import Endpoint, LoopSettings
from training.sampling import jobs as sampling_jobs
from training.sampling.endpoint_worker import run_writing

pytestmark = [pytest.mark.stack, pytest.mark.django_db]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(str(Path(sys.executable).with_name("transformers")), "serve", str(MODEL_DIR)),
        *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu"),
    ]
    log = django_settings.HOME / "transformers-serve.log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}

    def answers(process) -> bool:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except URLError:
            return False
        return True

    with running(command, log=log, env=environment) as process:
        wait_for(lambda: answers(process), "transformers serve")
        yield f"http://127.0.0.1:{port}/v1"


def test_the_built_in_model_answers_over_http(address, settings):
    settings.ENDPOINT_HOSTS = ["127.0.0.1"]
    project = make_project()
    LoopSettings.objects.create(project=project, completions_per_prompt=2, max_new_tokens=48)
    for question in ("What is the capital of France?", "What is 3 plus 4?"):
        make_prompt(project, question)
    endpoint = Endpoint.objects.create(
        project=project,
        policy=make_policy(project, "served", kind=Policy.Kind.ENDPOINT),
        url=address,
        model=str(MODEL_DIR),
        sent=["temperature", "top_p", "seed"],
        approved_at=timezone.now(),
    )
    assert try_out(endpoint).answer.text
    (job,) = sampling_jobs.start_sampling(project=project)
    run_writing(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error, job.stored) == ("succeeded", "", 4)
    texts = list(Completion.objects.filter(policy=endpoint.policy).values_list("text", flat=True))
    assert len(texts) == 4
    assert all(text.strip() for text in texts)
    endpoint.refresh_from_db()
    assert endpoint.completion_tokens > 0
