import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from annotate.models import Policy, PreferencePair
from annotate.queue.cards import serve_next
from annotate.queue.record import record_verdict
from tests.factories import (
    join,
    make_comparison,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)
from training.errors import Refused
from training.jobs.claims import claim
from training.models import LoopSettings, Round, SamplingJob
from training.policies import pool
from training.rounds import lifecycle
from training.schedule import auto_start
from training.storage.artifacts import ArtifactError

pytestmark = pytest.mark.django_db


@pytest.fixture
def project():
    project = make_project()
    LoopSettings.objects.create(project=project, base_model="some/model")
    return project


@pytest.fixture
def rater(project):
    return join(project, make_user())


def judge(project, rater, count=1, held_out=False):
    for _ in range(count):
        make_comparison(project, prompt=make_prompt(project, held_out=held_out))
        card = serve_next(project=project, rater=rater)
        record_verdict(code=card.code, rater=rater, choice="left")


def adopt(made, tmp_path):
    """What a worker does after the engine has written an adapter."""
    _, held = claim(Round, made.pk)
    (tmp_path / "adapter").mkdir(exist_ok=True)
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    result = {"adapter_sha256": hashlib.sha256(b"weights").hexdigest()}
    assert lifecycle.adopt(job=made, claim=held, run_dir=tmp_path, result=result)
    made.refresh_from_db()
    return made.policy


def test_a_round_starts_from_the_base_with_the_pairs_counted(project, rater):
    judge(project, rater, 3)
    judge(project, rater, held_out=True)
    planned = lifecycle.plan(project)
    assert (planned.number, planned.pairs, planned.new_pairs, planned.held_out) == (1, 3, 3, 1)
    made = lifecycle.start_round(project=project)
    assert made.start == made.reference == Policy.objects.get(kind="base")
    assert made.config["model"]["base"] == "some/model"
    assert made.config["reference_adapter"] is None


@pytest.mark.parametrize("base_model", ["", "some/model"])
def test_what_is_missing_is_said(project, base_model):
    LoopSettings.objects.update(base_model=base_model)
    with pytest.raises(Refused, match="pairs" if base_model else "base model"):
        lifecycle.start_round(project=project)
    assert not Round.objects.exists()


def test_two_rounds_never_run_at_once(project, rater):
    judge(project, rater)
    lifecycle.start_round(project=project)
    judge(project, rater)
    with pytest.raises(Refused, match="not finished"):
        lifecycle.start_round(project=project)


def test_a_wrong_setting_is_named_and_nothing_is_frozen(project, rater):
    judge(project, rater)
    LoopSettings.objects.update(round_config={"optimisation": {"learning_rate": -1}})
    with pytest.raises(Refused, match="learning_rate"):
        lifecycle.start_round(project=project)
    assert PreferencePair.objects.get().frozen_at is None


def test_an_adopted_policy_is_a_candidate_and_its_answers_are_asked_for(
    project, rater, tmp_path, settings
):
    settings.ADAPTERS_DIR = tmp_path / "published"
    judge(project, rater)
    made = lifecycle.start_round(project=project)
    policy = adopt(made, tmp_path)
    assert made.state == "succeeded"
    assert policy.state == Policy.State.CANDIDATE
    assert policy.parent == made.start
    (job,) = SamplingJob.objects.all()
    assert list(job.policies.all()) == [policy]
    assert job.total_steps == 2 * project.prompts.count()


def test_a_worker_that_was_replaced_publishes_nothing(project, rater, tmp_path, settings):
    settings.ADAPTERS_DIR = tmp_path / "published"
    judge(project, rater)
    made = lifecycle.start_round(project=project)
    _, stale = claim(Round, made.pk)
    Round.objects.update(attempt=99)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    result = {"adapter_sha256": hashlib.sha256(b"weights").hexdigest()}
    assert lifecycle.adopt(job=made, claim=stale, run_dir=tmp_path, result=result) is False
    assert not Policy.objects.filter(kind="adapter").exists()


def test_a_torn_adapter_is_not_adopted(project, rater, tmp_path, settings):
    settings.ADAPTERS_DIR = tmp_path / "published"
    judge(project, rater)
    made = lifecycle.start_round(project=project)
    _, held = claim(Round, made.pk)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"wei")
    result = {"adapter_sha256": hashlib.sha256(b"weights").hexdigest()}
    with pytest.raises(ArtifactError, match="not what was produced"):
        lifecycle.adopt(job=made, claim=held, run_dir=tmp_path, result=result)
    assert not Policy.objects.filter(kind="adapter").exists()
    assert list((tmp_path / "published").iterdir()) == []


@pytest.mark.parametrize(
    ("wish", "start"), [("base", "base"), ("latest", "round-1"), ("champion", "base")]
)
def test_the_next_round_starts_where_the_loop_says(project, rater, tmp_path, settings, wish, start):
    settings.ADAPTERS_DIR = tmp_path / "published"
    judge(project, rater)
    adopt(lifecycle.start_round(project=project), tmp_path)
    LoopSettings.objects.update(start_from=wish)
    planned = lifecycle.plan(project)
    assert planned.start.slug == start
    assert planned.reference.slug == "base"


def test_enough_new_pairs_start_a_round_once(project, rater):
    LoopSettings.objects.update(round_after_pairs=2)
    judge(project, rater)
    assert auto_start.start_due_rounds() == []
    judge(project, rater)
    (made,) = auto_start.start_due_rounds()
    assert made.trigger == "pairs"
    assert auto_start.start_due_rounds() == []


def test_the_clock_starts_a_round_only_where_something_is_new(project, rater):
    LoopSettings.objects.update(round_after_minutes=60)
    judge(project, rater)
    (made,) = auto_start.start_due_rounds()
    assert made.trigger == "time"
    Round.objects.update(state="cancelled")
    later = timezone.now() + timedelta(minutes=61)
    assert auto_start.start_due_rounds(now=later) == []
    judge(project, rater)
    assert auto_start.start_due_rounds() == []
    assert len(auto_start.start_due_rounds(now=later)) == 1


def test_a_paused_project_starts_nothing_by_itself(project, rater):
    LoopSettings.objects.update(round_after_pairs=1)
    judge(project, rater)
    project.is_paused = True
    project.save()
    assert auto_start.start_due_rounds() == []


def test_there_is_one_champion_and_it_cannot_be_retired(project):
    base = pool.ensure_base(project=project)
    other = make_policy(project)
    pool.promote(policy=other)
    base.refresh_from_db()
    other.refresh_from_db()
    assert (base.state, other.state) == ("active", "champion")
    with pytest.raises(Refused, match="champion"):
        pool.retire(policy=other)
    pool.retire(policy=base)
    base.refresh_from_db()
    assert not base.is_in_pool
    pool.rejoin(policy=base)
    base.refresh_from_db()
    assert base.is_in_pool
