"""The whole loop with the real parts: Redis, two Celery workers, the engine, the built-in model."""

import json
from pathlib import Path

import pytest

from annotate.models import Comparison, Completion, Policy, PreferencePair
from annotate.pairing.comparisons import make_comparisons
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.conftest import wait_for
from tests.factories import join, make_completion, make_project, make_prompt, make_user
from training.demo import MODEL_DIR
from training.demo.world import prompts
from training.jobs import claims
from training.models import LoopSettings, Metric, Round, SamplingJob
from training.policies.pool import ensure_base
from training.rounds import lifecycle
from training.rounds.recipes import Recipe
from training.sampling import jobs as sampling_jobs
from training.tasks import sweep

pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]
SMALL = {
    "optimisation": {"learning_rate": 1e-3, "batch_size": 4, "max_length": 256, "epochs": 1},
}


@pytest.fixture
def project():
    # Answers as short as these are all cut off.
    project = make_project("loop", held_out_percent=0, screening={"on": ["same"]})
    LoopSettings.objects.create(
        project=project,
        base_model=str(MODEL_DIR),
        completions_per_prompt=3,
        max_new_tokens=24,
        round_config=SMALL,
    )
    for number, prompt in enumerate(prompts(0)[:10]):
        make_prompt(project, prompt.messages[-1]["content"], held_out=number < 2)
    return project


def ended(job):
    def check():
        job.refresh_from_db()
        return job.is_finished

    wait_for(check, f"{job} to end", seconds=400)
    return job


def sample(project):
    (job,) = sampling_jobs.start_sampling(project=project)
    job = ended(job)
    assert job.state == "succeeded", (job.error, job.log_tail)
    return job


def answered(project):
    """Two answers to every prompt, as a sampling job would have left them."""
    base = ensure_base(project=project)
    for prompt in project.prompts.all():
        for text in ("Short.", "A longer answer than that."):
            make_completion(prompt, base, text=text)
    make_comparisons(project=project)


def recipe(kind, start):
    return Recipe(kind=kind, start=start, settings=SMALL)


def judge_everything(project):
    rater = join(project, make_user())
    while (card := serve_next(project=project, rater=rater)) is not None:
        a, b = card.comparison.a.text, card.comparison.b.text
        longer_is_left = (len(a) > len(b)) != card.swapped
        record_verdict(code=card.code, rater=rater, choice="right" if longer_is_left else "left")


def test_one_whole_turn(celery_workers, project):
    job = sample(project)
    base = Policy.objects.get(project=project)
    assert job.stored == 30
    assert Completion.objects.filter(policy=base).count() == 30
    assert all(c.sampling and c.finish_reason for c in Completion.objects.all())
    assert Comparison.objects.filter(state="open").exists()

    judge_everything(project)
    pairs = PreferencePair.objects.count()
    assert pairs

    made = ended(lifecycle.start_round(project=project))
    assert made.state == "succeeded", (made.error, made.log_tail)
    assert made.policy.parent == base
    assert Path(made.policy.adapter_path, "adapter_model.safetensors").exists()
    lines = made.snapshot.file.read_bytes().splitlines()
    assert len(lines) == pairs
    assert {json.loads(line)["split"] for line in lines} <= {"train", "held_out"}

    losses = Metric.objects.filter(round=made, name="train/loss").order_by("step")
    assert losses.first().value == pytest.approx(0.693147, abs=1e-4)  # ln 2 before any step

    following = SamplingJob.objects.latest("pk")
    assert list(following.policies.all()) == [made.policy]
    assert ended(following).state == "succeeded"
    meetings = Comparison.objects.filter(state="open", priority=1)
    assert (
        meetings.filter(a__policy=base, b__policy=made.policy).exists()
        or meetings.filter(b__policy=base, a__policy=made.policy).exists()
    )


def test_a_warm_up_and_then_a_round_that_is_held_close_to_it(celery_workers, project):
    answered(project)
    judge_everything(project)
    warm = lifecycle.start_round(project=project, recipe=recipe(Round.Kind.SFT, "base"))
    # As far as the row shows, its message was lost: the sweep sends another.
    Round.objects.filter(pk=warm.pk, state="queued").update(nudged_at=None)
    sweep()
    ended(warm)
    assert warm.state == "succeeded", (warm.error, warm.log_tail)
    losses = Metric.objects.filter(round=warm, name="held_out/loss").order_by("step")
    assert losses.last().value < losses.first().value  # it learns to imitate the chosen answers
    assert not Metric.objects.filter(round=warm, name="train/reward_accuracy").exists()

    made = ended(lifecycle.start_round(project=project, recipe=recipe(Round.Kind.DPO, "latest")))
    assert made.state == "succeeded", (made.error, made.log_tail)
    assert made.start == made.reference == made.policy.parent == warm.policy
    first = Metric.objects.filter(round=made, name="train/loss").order_by("step").first()
    assert first.value == pytest.approx(0.693147, abs=1e-4)  # ln 2: it starts as its reference


def test_same_seed_same_text(celery_workers, project):
    sample(project)
    written = dict(Completion.objects.values_list("seed", "text"))
    Comparison.objects.all().delete()
    Completion.objects.filter(seed__in=sorted(written)[::2]).delete()
    sample(project)
    assert dict(Completion.objects.values_list("seed", "text")) == written


def test_a_running_round_is_cancelled_and_leaves_no_policy(celery_workers, project):
    answered(project)
    judge_everything(project)
    LoopSettings.objects.update(
        round_config={"optimisation": {**SMALL["optimisation"], "epochs": 2000}}
    )
    made = lifecycle.start_round(project=project)

    def stepping():
        made.refresh_from_db()
        return made.step > 0

    wait_for(stepping, "a first step")
    claims.request_cancel(job=made)
    assert ended(made).state == "cancelled"
    made.refresh_from_db()
    assert made.kept_step, "its checkpoint is what it can be taken up from"
    assert made.samples.filter(step=0).exists()
    assert made.policy is None
    assert not Policy.objects.filter(kind="adapter").exists()


def test_a_failure_shows_its_reason_and_the_last_words(celery_workers, project, tmp_path):
    answered(project)
    judge_everything(project)
    Policy.objects.update(base_model=str(tmp_path / "nowhere"))
    LoopSettings.objects.update(base_model=str(tmp_path / "nowhere"))
    made = ended(lifecycle.start_round(project=project))
    assert made.state == "failed"
    assert "nowhere" in made.error
    assert made.log_tail
