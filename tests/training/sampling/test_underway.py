"""Nothing is written twice, whoever asks and when; and writing goes on after failures."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from annotate.content.completions import store_completions
from annotate.models import Completion, Policy
from tests.factories import make_policy, make_project, make_prompt
from training.errors import Refused
from training.models import LoopSettings, SamplingJob
from training.policies.pool import ensure_base
from training.sampling import jobs as sampling_jobs
from training.sampling import refill, underway
from training.sampling.worker import run_sampling

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


@pytest.fixture
def project():
    project = make_project()
    LoopSettings.objects.create(
        project=project, base_model="some/model", completions_per_prompt=2, queue_level=None
    )
    for _ in range(3):
        make_prompt(project)
    return project


def draws_of(job, folder):
    """What the engine would be asked for."""
    folder.mkdir()
    sampling_jobs.prepare(job=job, run_dir=folder)
    return [json.loads(line)["id"] for line in (folder / "prompts.jsonl").open()]


def fail(job, *, minutes_ago=0):
    ended = timezone.now() - minutes_ago * MINUTE
    SamplingJob.objects.filter(pk=job.pk).update(state="failed", finished_at=ended)


def test_a_second_press_asks_for_nothing_that_is_being_written(project):
    sampling_jobs.start_sampling(project=project)
    make_prompt(project)  # the job is not prepared yet, or the clock comes to it afterwards
    with pytest.raises(Refused, match="being written already"):
        sampling_jobs.start_sampling(project=project)
    assert refill.start_due_sampling() == []
    assert SamplingJob.objects.count() == 1


def test_a_queue_is_filled_once(project):
    LoopSettings.objects.update(queue_level=4)
    refill.fill_queue(project=project)
    with pytest.raises(Refused, match="being written already"):
        refill.fill_queue(project=project)


def test_what_was_asked_for_by_name_is_left_out_of_the_rest(project, tmp_path):
    made = make_policy(project, "round-1", kind=Policy.Kind.ADAPTER, base_model="some/model")
    LoopSettings.objects.update(queue_level=100)
    make_prompt(project, held_out=True)
    (gate,) = refill.write_for_gate(policy=made)
    LoopSettings.objects.update(queue_level=None)
    (rest,) = sampling_jobs.start_sampling(project=project)
    first, second = draws_of(gate, tmp_path / "gate"), draws_of(rest, tmp_path / "rest")
    assert not set(first) & set(second)
    assert rest.total_steps == len(second)
    policies, prompts = project.policies.count(), project.prompts.count()
    assert len(first) + len(second) == policies * prompts * 2


def test_more_answers_to_each_prompt_are_the_further_ones(project, tmp_path):
    (before,) = sampling_jobs.start_sampling(project=project)
    LoopSettings.objects.update(completions_per_prompt=5)
    (after,) = sampling_jobs.start_sampling(project=project)
    first, second = draws_of(before, tmp_path / "before"), draws_of(after, tmp_path / "after")
    assert (len(first), len(second)) == (6, 9)
    assert not set(first) & set(second)


def test_jobs_queued_while_one_is_planned_are_seen(project):
    base = ensure_base(project=project)
    plans = []

    def plan():
        plans.append(sampling_jobs._plan_all_owed(project, [base]))
        if len(plans) == 1:  # somebody else presses just now
            sampling_jobs.start_sampling(project=project)
        return plans[-1]

    with pytest.raises(Refused, match="being written already"):
        underway.queue_once(project, plan)
    assert len(plans) == 1
    assert SamplingJob.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_presses_at_once_make_one_job(project):
    ensure_base(project=project)
    ready = threading.Barrier(6)
    refused = []

    def press():
        ready.wait()
        try:
            sampling_jobs.start_sampling(project=project)
        except Refused as error:
            refused.append(str(error))
        finally:
            connection.close()

    presses = [threading.Thread(target=press) for _ in range(6)]
    for thread in presses:
        thread.start()
    for thread in presses:
        thread.join()
    assert SamplingJob.objects.count() == 1
    assert len(refused) == 5


def test_a_job_that_finds_all_written_is_done(project):
    (job,) = sampling_jobs.start_sampling(project=project)
    base = job.policies.get()
    rows = [
        Completion(
            prompt=prompt, policy=base, text="Yes.", seed=seed, sampling=job.config["sampling"]
        )
        for prompt, seed in sampling_jobs.missing_of(job, base)
    ]
    written = store_completions(rows=rows)
    run_sampling(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error, job.total_steps) == ("succeeded", "", 0)
    assert Completion.objects.count() == written


@pytest.mark.parametrize(("failures", "minutes"), [(1, 5), (2, 10), (3, 20), (12, 360)])
def test_writing_goes_on_after_failures_each_time_later(project, failures, minutes):
    ensure_base(project=project)
    for _ in range(failures):
        (job,) = sampling_jobs.start_sampling(project=project)
        fail(job)
    fail(job, minutes_ago=minutes - 1)
    assert refill.start_due_sampling() == []
    assert underway.tried_again_at(job.policies.get()) > timezone.now()
    fail(job, minutes_ago=minutes + 1)
    (again,) = refill.start_due_sampling()
    assert again.total_steps == 6


def test_after_a_success_the_wait_is_short_again(project):
    for state in ("failed", "failed", "succeeded", "failed"):
        (job,) = sampling_jobs.start_sampling(project=project)
        SamplingJob.objects.filter(pk=job.pk).update(state=state, finished_at=timezone.now())
    base = job.policies.get()
    waits = underway.tried_again_at(base) - SamplingJob.objects.get(pk=job.pk).finished_at
    assert waits == underway.FIRST_RETRY


def test_a_gate_asks_for_nothing_that_another_job_is_writing(project):
    made = make_policy(project, "round-1", kind=Policy.Kind.ADAPTER, base_model="some/model")
    make_prompt(project, held_out=True)
    sampling_jobs.start_sampling(project=project)
    LoopSettings.objects.update(queue_level=100)
    with pytest.raises(Refused):
        refill.write_for_gate(policy=made)
