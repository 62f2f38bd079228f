"""Sampling jobs for an endpoint, against a server that misbehaves as real ones do."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from decimal import Decimal

import pytest

from annotate.models import Comparison, Completion, Policy
from tests.factories import make_policy, make_prompt
from tests.training.endpoints import stub as does
from tests.training.endpoints.conftest import KEY
from tests.training.endpoints.stub import running_stub
from training.endpoints.answers import RetryPolicy
from training.endpoints.client import connected
from training.engine.config import Sampling
from training.jobs.claims import claim, request_cancel
from training.models import SamplingJob
from training.sampling import jobs as sampling_jobs
from training.sampling import refill
from training.sampling.endpoint_worker import EndpointWorker, run_writing

pytestmark = pytest.mark.django_db

PATIENCE = RetryPolicy(tries=3, first=0.01, longest=0.05)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(EndpointWorker, "patience", PATIENCE)


def queue(endpoint, prompts=3) -> SamplingJob:
    for _ in range(prompts):
        make_prompt(endpoint.project)
    (job,) = sampling_jobs.start_sampling(project=endpoint.project)
    return job


def run(job, **options) -> SamplingJob:
    run_writing(job.pk, **options)
    job.refresh_from_db()
    return job


def texts() -> list[str]:
    return list(Completion.objects.order_by("pk").values_list("text", flat=True))


def test_every_draw_is_asked_once_stored_and_paired(endpoint, stub):
    job = run(queue(endpoint))
    assert (job.state, job.stored, job.total_steps, job.error) == ("succeeded", 6, 6, "")
    assert len(stub.asked()) == len(set(texts())) == 6
    assert Comparison.objects.count() == 3
    completion = Completion.objects.first()
    assert completion.sampling == {"max_new_tokens": 32, "temperature": 1.0, "top_p": 1.0}
    assert (completion.finish_reason, completion.token_count) == ("stop", 3)


def test_what_is_sent_is_what_the_settings_say(endpoint, stub):
    endpoint.sent, endpoint.stop = ["top_p"], ["###"]
    endpoint.length_parameter = "max_completion_tokens"
    endpoint.save()
    run(queue(endpoint, prompts=1))
    body = stub.asked()[0].body
    assert {name: body[name] for name in body if name != "messages"} == {
        "model": "stub-model",
        "max_completion_tokens": 32,
        "top_p": 1.0,
        "stop": ["###"],
    }
    headers = {name.lower() for name in stub.asked()[0].headers}
    assert headers == {
        *("host", "accept", "content-type", "content-length"),
        *("accept-encoding", "user-agent", "authorization"),
    }


def test_an_adapter_is_sampled_with_all_that_its_completions_say(endpoint, stub):
    async def ask(**settings):
        async with connected(endpoint) as client:
            question = [{"role": "user", "content": "Hello!"}]
            await client.answer(question, Sampling(max_new_tokens=8, **settings).as_dict())

    asyncio.run(ask(min_p=0.1, repetition_penalty=1.2, stop_sequences=("###",), top_k=5))
    asyncio.run(ask())
    set_, unset = (request.body for request in stub.asked())
    sampling_fields = {"stop": ["###"], "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2}
    assert sampling_fields.items() <= set_.items()
    assert not sampling_fields.keys() & unset.keys()


def test_seeds_are_sent_as_32_bits(endpoint, stub):
    run(queue(endpoint))
    seeds = [request.body["seed"] for request in stub.asked()]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_tokens_and_cost_are_counted_for_the_job_and_the_endpoint(endpoint, stub):
    job = run(queue(endpoint))
    endpoint.refresh_from_db()
    for row in (job, endpoint):
        assert (row.prompt_tokens, row.completion_tokens) == (42, 18)
        assert row.cost == Decimal("0.000228")


def test_no_more_requests_at_once_than_allowed(endpoint, stub):
    stub.then = does.slow(0.05)
    run(queue(endpoint, prompts=8))
    assert stub.most_at_once == 3


@pytest.mark.parametrize(
    "trouble",
    [
        does.fails(429, Retry_After="0"),
        does.fails(500),
        does.fails(503),
        does.malformed,
        does.not_a_completion,
        does.web_page,
        does.drops,
    ],
)
def test_passing_trouble_loses_nothing(endpoint, stub, trouble):
    stub.script.extend([trouble, does.answer, trouble, trouble])
    job = run(queue(endpoint))
    assert (job.state, job.stored) == ("succeeded", 6)
    assert len(set(texts())) == 6


def test_a_slow_answer_is_given_up_at_its_time_and_asked_again(endpoint, stub):
    endpoint.timeout_seconds = 1
    endpoint.save()
    stub.script.extend([does.slow(30), does.drips])
    job = run(queue(endpoint, prompts=1))
    assert (job.state, job.stored, len(stub.asked())) == ("succeeded", 2, 4)


@pytest.mark.parametrize("body", [does.oversized, does.endless])
def test_a_body_without_measure_is_not_read_and_the_rest_is_kept(endpoint, stub, body):
    stub.script.append(body)
    job = run(queue(endpoint))
    assert (job.state, job.stored) == ("failed", 5)
    assert "1 completion failed. The answer was larger than" in job.error
    assert "The 5 completions received are kept." in job.error


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (does.fails(401, "bad key"), "refuses the key (401). It said: “bad key”"),
        (does.fails(404), "knows no such model"),
        (does.compressed, "answers compressed"),
    ],
)
def test_what_no_patience_mends_stops_the_job_at_once(endpoint, stub, trouble, message):
    stub.then = trouble
    job = run(queue(endpoint, prompts=20))
    assert job.state == "failed"
    assert message in job.error
    assert len(stub.asked()) <= 2 * endpoint.concurrency
    assert refill.start_due_sampling() == []


def test_a_dead_endpoint_is_given_up_after_some_tries(endpoint, stub):
    stub.then = does.fails(502)
    job = run(queue(endpoint, prompts=20))
    assert job.state == "failed"
    assert "has a fault (502)" in job.error
    assert len(stub.asked()) <= 3 * (PATIENCE.tries + 1) * endpoint.concurrency


def test_an_unreachable_endpoint_is_named(endpoint, stub):
    port = stub.port
    with running_stub() as gone:
        endpoint.url, endpoint.key_sealed = gone.url, ""
        endpoint.save()
    job = run(queue(endpoint))
    assert job.error == f"127.0.0.1:{gone.port} cannot be reached."
    assert port != gone.port


def test_a_redirect_is_not_followed_and_the_key_stays(endpoint, stub):
    with running_stub() as other:
        stub.then = does.redirects(f"{other.url}/chat/completions")
        job = run(queue(endpoint))
        assert other.requests == []
    assert job.state == "failed"
    assert "(307), which is not followed" in job.error


def test_one_prompt_that_is_refused_keeps_no_other_from_being_answered(endpoint, stub):
    stub.script.append(does.fails(400, "too long a prompt"))
    job = run(queue(endpoint))
    assert (job.state, job.stored) == ("failed", 5)
    assert "too long a prompt" in job.error
    (second,) = sampling_jobs.start_sampling(project=endpoint.project)
    assert second.total_steps == 1


def test_the_key_leaks_nowhere(endpoint, stub, caplog, cast, client_of):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "openai"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    stub.script.extend([does.answers_the_key, does.tells_the_key(500), does.tells_the_key(400)])
    stub.script.append(does.fails(400, "x" * 260 + " " + KEY + " " + "x" * 100))
    stub.script.extend([does.answer] * 3)
    stub.then = does.tells_the_key(401)
    endpoint.concurrency = 1
    endpoint.save()
    job = run(queue(endpoint, prompts=8))
    assert job.state == "failed"
    assert stub.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    from django.db import connection

    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            assert KEY[:12] not in repr(cursor.fetchall()), table
    assert KEY[:12] not in caplog.text
    assert any("•••" in text for text in texts())
    endpoint.project.memberships.create(user=cast.manager, role="manager")
    page = client_of(cast.manager).get(f"/p/{endpoint.project.slug}/completions/").text
    assert "refuses the key (401)" in page
    assert KEY[:12] not in page


def test_a_stopped_worker_hands_back_and_another_writes_the_rest(endpoint, stub):
    stub.then = does.slow(0.05)
    job = queue(endpoint, prompts=30)
    run(job, stopping=lambda: Completion.objects.count() >= 5)
    assert job.state == "queued"
    assert 5 <= job.stored < 60
    run(job)
    assert (job.state, job.stored, job.total_steps) == ("succeeded", 60, 60)
    assert set(Counter(texts()).values()) == {1}


def test_cancelling_stops_at_once_and_keeps_what_came(endpoint, stub):
    stub.script.extend([does.answer] * 4)
    stub.then = does.slow(60)
    job = queue(endpoint, prompts=5)

    def cancelled_meanwhile() -> bool:
        if Completion.objects.count() == 4:
            request_cancel(job=job)
        return False

    run(job, stopping=cancelled_meanwhile)
    assert (job.state, job.stored) == ("cancelled", 4)
    assert len(texts()) == 4


def test_a_worker_that_was_given_up_writes_nothing_more_on_the_job(endpoint, stub):
    job = queue(endpoint)

    def overtaken() -> bool:
        SamplingJob.objects.filter(pk=job.pk).update(state="queued")
        assert claim(SamplingJob, job.pk)
        return False

    stub.then = does.slow(0.7)
    run(job, stopping=overtaken)
    assert (job.state, job.attempt) == ("running", 2)


def test_some_threads_of_the_worker_stay_free(endpoint, stub, settings):
    settings.TASK_THREADS = 3
    SamplingJob.objects.create(project=endpoint.project, endpoint=endpoint, state="running")
    job = run(queue(endpoint))
    assert (job.state, job.attempt) == ("queued", 0)


def test_a_vllm_is_told_of_a_rounds_adapter_under_a_name_of_its_own(endpoint, stub):
    endpoint.adapters_of, endpoint.adapters_dir = "some/model", "/mnt/adapters"
    endpoint.save()
    Policy.objects.filter(pk=endpoint.policy_id).update(state="retired")
    make_policy(
        endpoint.project,
        "round-3",
        kind=Policy.Kind.ADAPTER,
        base_model="some/model",
        adapter_path="/var/adapters/demo-round-3-0123456789ab",
    )
    job = run(queue(endpoint))
    assert (job.state, job.stored) == ("succeeded", 6)
    first, *rest = stub.requests
    assert first.path == "/v1/load_lora_adapter"
    assert first.body == {
        "lora_name": "demo-round-3-0123456789ab",
        "lora_path": "/mnt/adapters/demo-round-3-0123456789ab",
    }
    assert {request.body["model"] for request in rest} == {"demo-round-3-0123456789ab"}


def test_an_adapter_that_is_there_already_is_fine_and_one_that_fails_is_told(endpoint, stub):
    endpoint.adapters_of = "some/model"
    endpoint.save()
    Policy.objects.filter(pk=endpoint.policy_id).update(state="retired")
    fields = {"kind": Policy.Kind.ADAPTER, "base_model": "some/model"}
    policy = make_policy(endpoint.project, "round-1", adapter_path="/a/one", **fields)
    stub.script.append(does.fails(400, "The lora adapter 'one' has already been loaded."))
    assert run(queue(endpoint)).state == "succeeded"
    Policy.objects.filter(pk=policy.pk).update(state="retired")
    make_policy(endpoint.project, "round-2", adapter_path="/a/two", **fields)
    stub.script.append(does.fails(404, "no such folder"))
    (job,) = sampling_jobs.start_sampling(project=endpoint.project)
    assert run(job).error.startswith("The endpoint has not loaded the adapter two.")


def test_a_policy_whose_endpoint_is_gone_holds_nothing_up(endpoint, stub):
    make_policy(endpoint.project, "orphan", kind=Policy.Kind.ENDPOINT)
    make_prompt(endpoint.project)
    (job,) = refill.start_due_sampling()
    assert [policy.slug for policy in job.policies.all()] == ["served"]
