"""How full the raters' queue is kept: the rules by table, then rows."""

import json
import random
from collections import Counter
from datetime import timedelta
from itertools import groupby

import pytest
from django.utils import timezone

from annotate.content.completions import store_completions
from annotate.models import Comparison, Completion, Judgement, Policy
from annotate.queue.line_ups import make_line_up
from tests.factories import (
    join,
    make_comparison,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)
from training.errors import Refused
from training.models import LoopSettings, SamplingJob
from training.policies.pool import ensure_base
from training.sampling import jobs as sampling_jobs
from training.sampling import refill_plan
from training.sampling.refill import fill_queue, level_of, ready, start_due_sampling, write_for_gate


@pytest.mark.parametrize(
    ("ready", "level", "missing"),
    [(0, 100, 100), (74, 100, 26), (75, 100, 0), (100, 100, 0), (130, 100, 0), (0, 1, 1)],
)
def test_the_queue_is_filled_when_a_quarter_is_gone(ready, level, missing):
    assert refill_plan.shortfall(ready=ready, level=level) == missing


@pytest.mark.parametrize(
    ("minutes", "judgements", "wanted", "comparisons"),
    [(60, 300, 1, 600), (60, 300, 3, 200), (60, 0, 1, refill_plan.AT_LEAST), (1, 30, 1, 20)],
)
def test_minutes_are_counted_at_the_present_pace(minutes, judgements, wanted, comparisons):
    made = refill_plan.comparisons_for(
        minutes=minutes, judgements=judgements, over_minutes=30, wanted=wanted
    )
    assert made == comparisons


def planned(**fields):
    values = {
        "count": 4,
        "prompts": [1, 2, 3],
        "weights": {10: 1.0, 20: 1.0},
        "written": {},
        "choose": random.Random(0),
    }
    return refill_plan.plan_draws(**(values | fields))


def test_each_comparison_takes_two_draws_and_no_draw_comes_twice():
    draws = planned(count=50)
    assert len(draws) == 100
    assert len(set(draws)) == 100


def test_prompts_with_fewer_answers_come_first():
    draws = planned(count=2, written={(1, 10): 5, (2, 20): 1})
    assert [prompt for prompt, _, _ in draws] == [3, 3, 2, 2]


def test_a_line_up_takes_its_draws_together():
    draws = planned(count=7, together=3)
    assert [len(list(group)) for _, group in groupby(draws, key=lambda draw: draw[0])] == [3, 3, 3]


def test_numbers_go_on_after_what_is_written():
    draws = planned(count=1, prompts=[1], weights={10: 1.0}, written={(1, 10): 7})
    assert draws == [(1, 10, 7), (1, 10, 8)]


def writers_of(draws):
    """Who writes together, pair by pair."""
    policies = [policy for _, policy, _ in draws]
    return list(zip(policies[::2], policies[1::2], strict=True))


def test_policies_are_drawn_by_their_weight():
    weights = {10: 3.0, 20: 1.0, 30: 1.0, 40: 0.0}
    pairs = writers_of(planned(count=2000, weights=weights, prompts=list(range(100))))
    assert all(first != second for first, second in pairs)
    first = Counter(first for first, _ in pairs)
    assert set(first) == {10, 20, 30}
    assert 0.57 < first[10] / len(pairs) < 0.63


def test_a_policy_that_is_alone_writes_both():
    assert set(writers_of(planned(count=20, weights={10: 1.0, 20: 0.0}))) == {(10, 10)}


def test_two_answers_of_one_policy_are_written_where_asked():
    pairs = writers_of(planned(count=2000, prompts=list(range(100)), own_share=0.1))
    assert 0.07 < sum(first == second for first, second in pairs) / len(pairs) < 0.13


def test_a_line_up_has_each_policy_before_any_comes_twice():
    draws = planned(count=30, weights={10: 9.0, 20: 1.0, 30: 1.0}, together=4)
    for _, group in groupby(draws, key=lambda draw: draw[0]):
        assert {policy for _, policy, _ in list(group)[:3]} == {10, 20, 30}


def test_a_prompt_answered_too_often_is_left_out():
    assert planned(prompts=[1], written={(1, 10): refill_plan.MOST_ANSWERS}) == []
    assert planned(weights={}) == planned(prompts=[]) == []


# --- rows ---


@pytest.fixture
def project(db):
    project = make_project()
    LoopSettings.objects.create(project=project, base_model="some/model", queue_level=10)
    for _ in range(5):
        make_prompt(project)
    return project


def open_comparisons(project, count):
    return [make_comparison(project) for _ in range(count)]


def asked_in(job, folder):
    folder.mkdir()
    sampling_jobs.prepare(job=job, run_dir=folder)
    return [json.loads(line) for line in (folder / "prompts.jsonl").open()]


def answer(job, asked):
    for request in asked:
        prompt, policy, seed = map(int, request["id"].split(":"))
        row = Completion(
            prompt_id=prompt,
            policy_id=policy,
            seed=seed,
            text=f"answer {seed}",
            sampling=job.config["sampling"],
        )
        store_completions(rows=[row])


def test_what_is_missing_to_the_level_is_written_and_no_more(project, tmp_path):
    open_comparisons(project, 4)
    (job,) = fill_queue(project=project)
    asked = asked_in(job, tmp_path / "run")
    assert len(asked) == job.total_steps == 2 * (10 - 4)
    assert len({request["id"] for request in asked}) == len(asked)


def test_a_full_queue_is_left_alone(project):
    open_comparisons(project, 8)
    with pytest.raises(Refused, match="full enough"):
        fill_queue(project=project)
    assert start_due_sampling() == []


def test_line_ups_count_as_all_their_pairs_and_are_filled_whole(project, tmp_path):
    project.line_up_size = 3
    project.save()
    prompt, policies = project.prompts.first(), [make_policy(project) for _ in range(3)]
    for policy in policies:
        make_completion(prompt, policy)
        policy.state = "retired"
        policy.save()
    make_line_up(
        project=project,
        prompt_id=prompt.pk,
        completions=list(Completion.objects.values_list("pk", flat=True)),
        priority=0,
    )
    assert ready(project) == 3
    (job,) = fill_queue(project=project)
    assert len(asked_in(job, tmp_path / "run")) == 3 * 3  # seven pairs are missing
    open_comparisons(project, 6)
    SamplingJob.objects.all().delete()
    with pytest.raises(Refused, match="full enough"):
        fill_queue(project=project)


def test_the_clock_fills_the_queue(project):
    (job,) = start_due_sampling()
    assert job.total_steps == 20
    assert start_due_sampling() == []  # one at a time


def test_what_a_stopped_job_has_written_is_not_asked_again(project, tmp_path):
    (job,) = fill_queue(project=project)
    first = asked_in(job, tmp_path / "first")
    answer(job, first[::2])
    again = asked_in(job, tmp_path / "again")
    assert {request["id"] for request in again} == {request["id"] for request in first[1::2]}


def test_a_gap_that_a_stopped_job_left_does_not_stall_the_queue(project, tmp_path):
    (job,) = fill_queue(project=project)
    answer(job, asked_in(job, tmp_path / "first")[1::2])
    SamplingJob.objects.update(state=SamplingJob.State.SUCCEEDED)
    (job,) = fill_queue(project=project)
    assert len(asked_in(job, tmp_path / "second")) == 20


def test_a_policy_with_no_weight_writes_nothing(project, tmp_path):
    base = ensure_base(project=project)
    other = make_policy(project, kind=Policy.Kind.BASE, base_model="some/model")
    Policy.objects.filter(pk=other.pk).update(weight=0)
    (job,) = fill_queue(project=project)
    assert {request["policy"] for request in asked_in(job, tmp_path / "run")} == {base.slug}


def test_a_new_policy_and_the_champion_write_what_they_meet_over(project, tmp_path):
    base = ensure_base(project=project)
    project.prompts.update(is_held_out=False)
    held_out = make_prompt(project, held_out=True)
    made = make_policy(
        project, "round-1", kind=Policy.Kind.ADAPTER, base_model="some/model", state="candidate"
    )
    (job,) = write_for_gate(policy=made)
    asked = asked_in(job, tmp_path / "run")
    assert {request["policy"] for request in asked} == {base.slug, "round-1"}
    assert {request["messages"][0]["content"] for request in asked} == {
        held_out.messages[0]["content"]
    }
    assert len(asked) == 4
    answer(job, asked)
    with pytest.raises(Refused):
        write_for_gate(policy=made)


def test_without_a_level_a_new_policy_answers_everything(project, tmp_path):
    ensure_base(project=project)
    LoopSettings.objects.update(queue_level=None)
    made = make_policy(project, "round-1", kind=Policy.Kind.ADAPTER, base_model="some/model")
    (job,) = write_for_gate(policy=made)
    assert len(asked_in(job, tmp_path / "run")) == 10


def test_the_level_can_be_minutes_at_the_raters_pace(project):
    loop = project.loop
    loop.queue_level, loop.queue_unit = 60, LoopSettings.QueueUnit.MINUTES
    now = timezone.now()
    assert level_of(project, loop, now=now) == refill_plan.AT_LEAST
    rater = join(project, make_user())
    for age in [1, 5, 10, *range(11, 29), 90]:
        Judgement.objects.create(
            project=project,
            comparison=make_comparison(project),
            rater=rater,
            swapped=False,
            outcome="a",
            served_at=now,
            expires_at=now,
            decided_at=now - timedelta(minutes=age),
        )
    assert level_of(project, loop, now=now) == 42  # 21 in half an hour


def test_cards_with_raters_do_not_count_as_waiting(project):
    comparison, *_ = open_comparisons(project, 3)
    Comparison.objects.filter(pk=comparison.pk).update(judgements_taken=1)
    assert ready(project) == 2


@pytest.fixture
def manager(project, client):
    ensure_base(project=project)
    make_policy(project, "other", kind=Policy.Kind.BASE, base_model="some/model")
    client.force_login(join(project, make_user(), "manager"))
    return client


def weights_of(project):
    return dict(project.policies.values_list("slug", "weight"))


def test_a_manager_says_who_writes_how_often(manager, project):
    page = manager.get(f"/p/{project.slug}/completions/").content.decode()
    assert 'name="other"' in page
    manager.post(f"/p/{project.slug}/completions/weights/", {"base": "0.5", "other": 2})
    assert weights_of(project) == {"base": 0.5, "other": 2}


@pytest.mark.parametrize(
    "sent",
    [
        {"base": 0, "other": 0},
        {"base": 1, "other": -1},
        {"base": 3, "other": "nan"},
        {"base": 3, "other": "inf"},
        {"base": 3},
    ],
)
def test_wrong_weights_change_nothing(manager, project, sent):
    answer = manager.post(f"/p/{project.slug}/completions/weights/", sent, follow=True)
    assert "Nothing was changed" in answer.content.decode()
    assert weights_of(project) == {"base": 1, "other": 1}
