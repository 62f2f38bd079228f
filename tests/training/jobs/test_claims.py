from datetime import timedelta

import pytest
from django.utils import timezone

from tests.conftest import wait_for
from tests.factories import make_project
from training.jobs import claims
from training.models import SamplingJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return SamplingJob.objects.create(project=make_project())


def state(job):
    job.refresh_from_db()
    return job.state


def age(job, seconds):
    SamplingJob.objects.filter(pk=job.pk).update(
        heartbeat_at=timezone.now() - timedelta(seconds=seconds)
    )


def test_only_one_worker_gets_a_job(job):
    assert claims.claim(SamplingJob, job.pk) is not None
    assert claims.claim(SamplingJob, job.pk) is None


def test_a_dead_workers_job_is_queued_again(job):
    claims.claim(SamplingJob, job.pk)
    age(job, 1000)
    claims.sweep_dead(SamplingJob)
    assert state(job) == "queued"
    assert job.pk in claims.due_for_dispatch(SamplingJob)


def test_a_living_workers_job_is_left_alone(job):
    claims.claim(SamplingJob, job.pk)
    claims.sweep_dead(SamplingJob)
    assert state(job) == "running"


def test_whoever_was_replaced_cannot_write_any_more(job):
    _, first = claims.claim(SamplingJob, job.pk)
    age(job, 1000)
    claims.sweep_dead(SamplingJob)
    _, second = claims.claim(SamplingJob, job.pk)
    assert not first.update(step=7)
    assert not first.end(SamplingJob.State.SUCCEEDED)
    assert second.update(step=8)
    job.refresh_from_db()
    assert job.step == 8


def test_a_job_is_given_up_after_its_third_dead_worker(job, settings):
    for _ in range(settings.MAX_ATTEMPTS):
        assert claims.claim(SamplingJob, job.pk) is not None
        age(job, 1000)
        claims.sweep_dead(SamplingJob)
    assert state(job) == "failed"
    assert "3 times" in job.error


def test_a_killed_engine_is_tried_again_until_the_attempts_are_used_up(job, settings):
    for _ in range(settings.MAX_ATTEMPTS - 1):
        _, held = claims.claim(SamplingJob, job.pk)
        assert held.try_again(why="its engine was killed; queued again")
        assert state(job) == "queued"
        assert job.pk in claims.due_for_dispatch(SamplingJob)
    _, held = claims.claim(SamplingJob, job.pk)
    assert not held.try_again(why="its engine was killed; queued again")
    assert state(job) == "running"


def test_whoever_was_replaced_cannot_queue_again(job):
    _, first = claims.claim(SamplingJob, job.pk)
    age(job, 1000)
    claims.sweep_dead(SamplingJob)
    claims.claim(SamplingJob, job.pk)
    assert not first.try_again(why="late")
    assert state(job) == "running"


@pytest.mark.django_db(transaction=True)
def test_long_work_without_an_engine_keeps_its_claim(job, settings, tmp_path):
    settings.STALE_SECONDS = 0.2
    _, held = claims.claim(SamplingJob, job.pk)
    age(job, 1000)
    lease = tmp_path / "lease"
    with claims.beating(held, lease=lease):
        wait_for(lease.exists, "a heartbeat", seconds=120)
    settings.STALE_SECONDS = 100
    claims.sweep_dead(SamplingJob)
    assert state(job) == "running"


def test_a_stop_on_request_does_not_count_as_a_death(job, settings):
    for _ in range(settings.MAX_ATTEMPTS + 2):
        _, held = claims.claim(SamplingJob, job.pk)
        assert held.hand_back()
    claims.claim(SamplingJob, job.pk)
    age(job, 1000)
    claims.sweep_dead(SamplingJob)
    assert state(job) == "queued"


def test_a_queued_job_is_cancelled_at_once(job):
    claims.request_cancel(job=job)
    assert state(job) == "cancelled"
    assert claims.claim(SamplingJob, job.pk) is None


def test_a_running_job_is_asked_to_stop(job):
    claims.claim(SamplingJob, job.pk)
    claims.request_cancel(job=job)
    assert state(job) == "running"
    assert job.cancel_requested_at is not None


def test_a_cancelled_job_whose_worker_died_ends_as_cancelled(job):
    claims.claim(SamplingJob, job.pk)
    claims.request_cancel(job=job)
    age(job, 1000)
    claims.sweep_dead(SamplingJob)
    assert state(job) == "cancelled"


def test_a_lost_message_is_sent_again(job):
    SamplingJob.objects.filter(pk=job.pk).update(nudged_at=timezone.now())
    assert claims.due_for_dispatch(SamplingJob) == []
    SamplingJob.objects.filter(pk=job.pk).update(nudged_at=timezone.now() - timedelta(hours=1))
    assert claims.due_for_dispatch(SamplingJob) == [job.pk]
