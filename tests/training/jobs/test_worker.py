"""What a worker records when something outside the engine fails, and what a round's page shows."""

import errno

import pytest
from django.db import DataError, OperationalError
from django.urls import reverse

from annotate.models import Policy
from tests.factories import make_policy, make_project
from tests.training.views.test_rounds import succeed
from training.jobs.claims import claim
from training.jobs.engine_process import EngineEnding
from training.models import LoopSettings, SamplingJob
from training.sampling.worker import SamplingWorker, run_sampling
from training.storage.artifacts import ArtifactError

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed():
    job = SamplingJob.objects.create(project=make_project())
    return claim(SamplingJob, job.pk)


def of_job(job, held, run_dir):
    """The worker for ``job``, which has a run directory."""
    worker = SamplingWorker(job, held)
    worker.run_dir = run_dir
    return worker


@pytest.mark.parametrize(
    ("error", "state", "message"),
    [
        (OperationalError("database is locked"), "running", ""),  # the sweep has it tried again
        (DataError("too long"), "failed", "DataError: too long"),
        (OSError(errno.ENOSPC, "No space left on device"), "failed", "The disk is full"),
        (ArtifactError("The adapter x is not there."), "failed", "The adapter x is not there."),
    ],
)
def test_an_error_around_the_engine_is_recorded(claimed, tmp_path, error, state, message):
    job, held = claimed
    of_job(job, held, tmp_path).record_error(error)
    job.refresh_from_db()
    assert job.state == state
    assert job.error.startswith(message)


def test_a_killed_engine_is_queued_again_and_given_up_in_the_end(tmp_path, settings):
    job = SamplingJob.objects.create(project=make_project())
    for left in reversed(range(settings.MAX_ATTEMPTS)):
        _, held = claim(SamplingJob, job.pk)
        of_job(job, held, tmp_path).record_ending(EngineEnding(-9, None, None))
        job.refresh_from_db()
        assert job.state == ("queued" if left else "failed")
    assert "SIGKILL" in job.error


def test_a_damaged_adapter_fails_what_needs_it_with_its_name(settings, tmp_path):
    settings.RUNS_DIR, settings.ADAPTERS_DIR = tmp_path / "runs", tmp_path / "adapters"
    folder = settings.ADAPTERS_DIR / "demo-round-1-0123456789ab"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"torn")
    project = make_project()
    policy = make_policy(
        project, "round-1", kind=Policy.Kind.ADAPTER, base_model="m", adapter_path=str(folder)
    )
    job = SamplingJob.objects.create(
        project=project,
        config={"kind": "sample", "model": {"base": "m"}, "adapters": {policy.slug: str(folder)}},
    )
    with pytest.raises(ArtifactError):
        run_sampling(job.pk)
    job.refresh_from_db()
    assert job.state == "failed"
    assert str(folder) in job.error
    assert "damaged" in job.error


def test_a_rounds_page_says_where_its_result_comes_from(cast, client_of):
    LoopSettings.objects.create(project=cast.project, base_model="some/model")
    made = succeed(
        cast.project,
        result={"adapter_sha256": "cd" * 32},
        provenance={
            "code": "4fdc1ab0e2c7",
            "libraries": {"torch": "2.13.0"},
            "hardware": {"device": "cpu", "cpu": "Xeon", "instructions": "AVX512"},
            "threads": 2,
            "processes": 1,
            "seed": 1,
            "inputs": {"data": "ab" * 32, "base": "ef" * 32, "start_adapter": None},
        },
    )
    page = client_of(cast.manager).get(reverse("round", args=["sharpen", 1])).content.decode()
    for value in ("4fdc1ab0e2c7", "2.13.0", "Xeon (AVX512)", "cd" * 32, "ef" * 32):
        assert value in page
    assert "manage.py reproduce sharpen/1" in page
    made.provenance = {}
    made.save()
    page = client_of(cast.manager).get(reverse("round", args=["sharpen", 1])).content.decode()
    assert "manage.py reproduce" not in page
