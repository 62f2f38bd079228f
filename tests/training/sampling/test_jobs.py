import pytest

from annotate.models import Completion, Policy
from tests.factories import make_policy, make_project, make_prompt, make_user
from training.errors import Refused
from training.jobs.claims import claim
from training.models import LoopSettings, Round, SamplingJob, Snapshot
from training.playground.tryouts import ask
from training.rewards.scorers import job_of
from training.sampling import jobs as sampling_jobs
from training.sampling import refill

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    LoopSettings.objects.create(project=project, base_model="some/model", completions_per_prompt=2)
    return project


MESSAGES = [{"role": "user", "content": "Name a colour."}]


def write(job, tmp_path, keep=None):
    """Prepare the run directory and store made-up answers to (the first ``keep``) requests."""
    import json

    _, held = claim(SamplingJob, job.pk)
    sampling_jobs.prepare(job=job, run_dir=tmp_path)
    asked = [json.loads(line) for line in (tmp_path / "prompts.jsonl").open()]
    lines = [
        {
            "id": request["id"],
            "text": f"answer {request['seed']}",
            "finish_reason": "stop",
            "token_count": 3,
            "logprob": -1.5,
        }
        for request in asked[:keep]
    ]
    assert sampling_jobs.store(job=job, claim=held, lines=lines)
    return held, asked, lines


def test_every_prompt_is_asked_as_often_as_the_project_wants(project, tmp_path):
    prompts = [make_prompt(project) for _ in range(3)]
    (job,) = sampling_jobs.start_sampling(project=project)
    _, asked, _ = write(job, tmp_path)
    assert len(asked) == 6
    assert len({request["seed"] for request in asked}) == 6
    assert {request["messages"][0]["content"] for request in asked} == {
        prompt.messages[0]["content"] for prompt in prompts
    }


def test_what_is_stored_knows_how_it_was_made(project, tmp_path):
    make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    write(job, tmp_path)
    completion = Completion.objects.first()
    assert completion.sampling == job.config["sampling"]
    assert completion.policy.slug == "base"
    assert (completion.finish_reason, completion.token_count, completion.logprob) == (
        "stop",
        3,
        -1.5,
    )
    job.refresh_from_db()
    assert job.stored == 2


def test_lines_read_twice_are_stored_once(project, tmp_path):
    make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    held, _, lines = write(job, tmp_path)
    sampling_jobs.store(job=job, claim=held, lines=lines)
    job.refresh_from_db()
    assert (job.stored, Completion.objects.count()) == (2, 2)


def test_only_what_is_missing_is_asked_again(project, tmp_path):
    for _ in range(3):
        make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    held, _, _ = write(job, tmp_path, keep=4)
    held.end(SamplingJob.State.FAILED, error="power cut")
    (second,) = sampling_jobs.start_sampling(project=project)
    assert second.total_steps == 2


def test_nothing_missing_is_said(project, tmp_path):
    with pytest.raises(Refused, match="no prompts"):
        sampling_jobs.start_sampling(project=project)
    make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    held, _, _ = write(job, tmp_path)
    held.end(SamplingJob.State.SUCCEEDED)
    with pytest.raises(Refused, match="answered every prompt"):
        sampling_jobs.start_sampling(project=project)


def test_new_prompts_are_answered_without_a_button(project):
    make_prompt(project)
    (job,) = refill.start_due_sampling()
    assert refill.start_due_sampling() == []
    SamplingJob.objects.filter(pk=job.pk).update(state="cancelled")
    assert refill.start_due_sampling() == []  # whoever stopped it decides


def test_seeds_differ_by_prompt_policy_and_draw():
    base = {"prompt_digest": "d", "policy": "p", "draw": 0}
    seeds = {
        sampling_jobs.draw_seed(**base),
        sampling_jobs.draw_seed(**{**base, "prompt_digest": "e"}),
        sampling_jobs.draw_seed(**{**base, "policy": "q"}),
        sampling_jobs.draw_seed(**{**base, "draw": 1}),
    }
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert sampling_jobs.draw_seed(**base) == sampling_jobs.draw_seed(**base)


def test_settings_that_came_later_change_no_earlier_draw(project):
    """Defaults are left out, so that nothing is sampled twice after an upgrade."""
    make_prompt(project)
    before = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 512}
    (job,) = sampling_jobs.start_sampling(project=project)
    assert job.config["sampling"] == before
    LoopSettings.objects.update(min_p=0.1, repetition_penalty=1.2, stop_sequences=["\nQ:"])
    assert sampling_jobs.sampling_of(LoopSettings.objects.get(), Policy.objects.get()) == {
        **before,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "stop_sequences": ["\nQ:"],
    }


def test_draws_of_other_settings_are_told_apart_and_stored_as_asked(project, tmp_path):
    make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    held, _, _ = write(job, tmp_path)
    held.end(SamplingJob.State.SUCCEEDED)
    LoopSettings.objects.update(min_p=0.1, stop_sequences=["###"])
    (second,) = sampling_jobs.start_sampling(project=project)
    folder = tmp_path / "second"
    folder.mkdir()
    held, asked, _ = write(second, folder)
    held.end(SamplingJob.State.SUCCEEDED)
    assert len(asked) == 2
    with pytest.raises(Refused, match="answered every prompt"):
        sampling_jobs.start_sampling(project=project)
    stored = Completion.objects.order_by("pk").last()
    assert stored.sampling["stop_sequences"] == ["###"]


@pytest.mark.parametrize("load_in_4bit", [True, False])
def test_answers_come_from_the_base_as_the_last_round_had_it(project, load_in_4bit):
    make_prompt(project)
    base = make_policy(
        project, "base", kind=Policy.Kind.BASE, base_model="some/model", state="champion"
    )
    trained = [
        Round.objects.create(
            project=project,
            number=number,
            snapshot=Snapshot.objects.create(
                project=project, counts={}, sha256=str(number) * 64, path="absent"
            ),
            start=base,
            reference=base,
            policy=make_policy(
                project,
                f"round-{number}",
                kind=Policy.Kind.ADAPTER,
                parent=base,
                base_model="some/model",
                adapter_path="absent",
            ),
            state=Round.State.SUCCEEDED,
            config={"kind": "dpo", "load_in_4bit": in_4bit},
        )
        for number, in_4bit in [(1, not load_in_4bit), (2, load_in_4bit)]
    ]
    (job,) = sampling_jobs.start_sampling(project=project)
    assert job.config["load_in_4bit"] is load_in_4bit
    policies = base, trained[0].policy
    asked = ask(
        project=project, asked_by=make_user(), messages=MESSAGES, policies=policies, blind=False
    )
    assert {answer.config["load_in_4bit"] for answer in asked.answers.all()} == {load_in_4bit}
    assert job_of(trained[1])["load_in_4bit"] is load_in_4bit
    # A policy is scored with the base it was trained on.
    assert job_of(trained[0])["load_in_4bit"] is not load_in_4bit
