"""Rewards: the rules by table, then rows, then the real engine on the built-in model."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from annotate.models import Comparison, Completion, PairsFirst, Policy, PreferencePair
from annotate.pairing.comparisons import PairingCandidate, make_comparisons, plan_pairs
from annotate.pairing.pair_preference import PairingPreference, by_margin, places
from tests.factories import (
    join,
    make_completion,
    make_policy,
    make_project,
    make_prompt,
    make_user,
)
from tests.training.in_process import run_engine
from tests.training.voting import judge, meet
from training.demo import MODEL_DIR
from training.errors import Refused
from training.jobs import worker
from training.jobs.claims import claim
from training.models import LoopSettings, Round, Score, ScoringJob, Snapshot
from training.rewards import judging, score_cache, scored_pairs, scorers, scoring
from training.rewards.agreement import ScoredPair, agreement, calibration, chance
from training.rewards.pairing import pair_up, selection_of
from training.rewards.worker import run_scoring
from training.rounds import lifecycle, reward_rounds
from training.rounds.snapshots import usable_pairs
from training.rounds.worker import run_round
from training.schedule import auto_start

# --- rules that need no database ---


def test_shares_by_where_the_pairs_come_from():
    pairs = [
        ScoredPair(1.0, True, False, ["sums"]),
        ScoredPair(-2.0, True, False, []),
        ScoredPair(0.0, True, False, []),
        ScoredPair(0.5, False, True, ["sums"]),
        ScoredPair(-0.5, False, False, ["sums"]),
    ]
    shares = agreement(pairs)
    assert (shares.held_out.wins, shares.held_out.losses, shares.held_out.undecided) == (1, 1, 1)
    assert (shares.trained_on.wins, shares.neither.losses) == (1, 1)
    assert shares.steps_held_out
    assert shares.tags == []  # three pairs are too few for figures by tag


def test_how_sure_is_told_apart_from_how_right():
    """Three pairs at σ(1) = 0.73, two of them right; one at σ(3) = 0.95, wrong; one at margin 0."""
    steps = calibration([1.0, 1.0, -1.0, -3.0, 0.0])
    assert [(step.share.wins, step.share.decided) for step in steps] == [
        (0, 0),
        (0, 0),
        (2, 3),
        (0, 0),
        (0, 1),
    ]
    assert steps[2].expected == pytest.approx(chance(1.0))
    shares = agreement([ScoredPair(m, True, False) for m in (1.0, 1.0, -1.0, -3.0)])
    off = (3 * abs(chance(1.0) - 2 / 3) + chance(3.0)) / 4
    assert shares.off_by == pytest.approx(off)
    surprise = (2 * math.log1p(math.exp(-1)) + math.log1p(math.e) + math.log1p(math.exp(3))) / 4
    assert shares.surprise == pytest.approx(surprise)
    assert agreement([]).surprise is None


def test_a_judge_expects_wins_by_prompt():
    """Two prompts: σ(1), and the mean of σ(0) and σ(2); a third without the champion's answer."""
    estimate = judging.expected_wins({1: [1.0], 2: [0.0, 2.0], 3: [9.0]}, {1: [0.0], 2: [0.0]})
    assert estimate is not None
    value, low, high, prompts = estimate
    assert value == pytest.approx((chance(1) + (0.5 + chance(2)) / 2) / 2)
    assert low < value < high
    assert prompts == 2
    assert judging.expected_wins({1: [1.0]}, {1: [0.0]}) is None


@pytest.mark.parametrize(("prefer", "pair"), [("close", (2, 3)), ("far", (1, 4)), (None, (1, 2))])
def test_rewards_choose_who_meets_first(prefer, pair):
    """Four answers of one policy, a fifth without a reward."""
    answers = [PairingCandidate(pk, 1, f"answer {pk}") for pk in (1, 2, 3, 4, 5)]
    rewards = {1: -3.0, 2: 0.0, 3: 0.1, 4: 5.0}
    chosen = {"choose": by_margin(rewards, PairsFirst(prefer))} if prefer else {}
    planned = plan_pairs(answers, {1: None}, is_alone=True, **chosen)
    assert planned[0] == pair
    assert len(planned) == 2


def test_places_in_the_queue_go_by_rank():
    margins = [0.3, -0.01, 5.0]
    assert places(margins, PairsFirst.CLOSE) == [1, 0, 2]
    assert places(margins, PairsFirst.FAR) == [1, 2, 0]


# --- rows ---


@pytest.fixture
def project(db):
    project = make_project(held_out_percent=0)
    LoopSettings.objects.create(
        project=project, base_model=str(MODEL_DIR), completions_per_prompt=2, max_new_tokens=16
    )
    return project


def make_round(project, number=1, **fields):
    base = project.policies.filter(slug="base").first() or make_policy(
        project, "base", kind=Policy.Kind.BASE, base_model=str(MODEL_DIR), state="champion"
    )
    snapshot = project.snapshots.first() or Snapshot.objects.create(
        project=project, counts={"held_out": 4}, sha256="ab" * 32, path="absent"
    )
    values = {"state": Round.State.SUCCEEDED, "config": {"kind": "dpo", "beta": 0.5}}
    return Round.objects.create(
        project=project,
        number=number,
        snapshot=snapshot,
        start=base,
        reference=base,
        **values | fields,
    )


def trained(project, number=1, folder="absent"):
    """A DPO round with its policy."""
    base = project.policies.filter(slug="base").first()
    policy = make_policy(
        project,
        f"round-{number}",
        kind=Policy.Kind.ADAPTER,
        base_model=str(MODEL_DIR),
        adapter_path=str(folder),
        parent=base,
    )
    made = make_round(project, number, policy=policy)
    Policy.objects.filter(pk=policy.pk).update(parent=made.start)
    return made


def score(scorer, **rewards):
    for pk, reward in rewards.items():
        completion = Completion.objects.get(pk=int(pk[1:]))
        Score.objects.create(round=scorer, completion=completion, reward=reward, token_count=3)


def settle(project, scorer, rater, margins, *, held_out=True, picked=""):
    """A settled pair for each margin, with matching scores by ``scorer``; A is chosen."""
    base = project.policies.get(slug="base")
    for margin in margins:
        prompt = make_prompt(project, held_out=held_out)
        met = meet(project, base, base, prompt=prompt, picked=picked)
        judge(met, rater, "a")
        Score.objects.create(round=scorer, completion=met.a, reward=margin, token_count=3)
        Score.objects.create(round=scorer, completion=met.b, reward=0.0, token_count=3)


def test_a_succeeded_reward_round_has_a_model_and_no_policy(project):
    made = trained(project)
    with pytest.raises(IntegrityError), transaction.atomic():
        make_round(project, 2, kind="reward")
    with pytest.raises(IntegrityError), transaction.atomic():
        Round.objects.filter(pk=made.pk).update(reward_adapter="somewhere")
    make_round(project, 2, kind="reward", reward_adapter="somewhere")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_round(project, 3, state="running", kind="reward", reward_adapter="early")


def test_a_reward_round_takes_a_rounds_snapshot_and_leaves_the_loop_alone(project, tmp_path):
    """The next round for a policy starts where it would have, as soon as it would have."""
    rater = join(project, make_user())
    made = trained(project)
    settle(project, made, rater, [1.0] * 3, held_out=False)
    LoopSettings.objects.update(round_after_pairs=3, start_from="latest")
    before = lifecycle.plan(project)
    on_round_1 = reward_rounds.start_reward_round(project=project, snapshot=made.snapshot)
    assert (on_round_1.kind, on_round_1.snapshot) == ("reward", made.snapshot)
    assert on_round_1.config["kind"] == "reward"
    with pytest.raises(Refused, match="not finished"):
        reward_rounds.start_reward_round(project=project)
    _, held = claim(Round, on_round_1.pk)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    result = {"adapter_sha256": hashlib.sha256(b"weights").hexdigest()}
    assert lifecycle.adopt(job=on_round_1, claim=held, run_dir=tmp_path, result=result)
    published = Path(on_round_1.project.rounds.get(number=2).reward_adapter)
    assert published.joinpath("adapter_model.safetensors").exists()
    reward_rounds.start_reward_round(project=project)  # on all pairs: frozen now
    Round.objects.filter(number=3).update(state="cancelled")
    assert not usable_pairs(project).filter(frozen_at=None).exists()
    after = lifecycle.plan(project)
    assert (after.new_pairs, after.start) == (before.new_pairs, before.start) == (3, made.policy)
    assert [round_.trigger for round_ in auto_start.start_due_rounds()] == ["pairs"]
    assert lifecycle.plan(project).new_pairs == 0
    assert project.policies.count() == 2


def test_a_completion_is_scored_once(project):
    made = trained(project)
    prompt = make_prompt(project)
    first, second = (make_completion(prompt, made.start) for _ in range(2))
    job = scoring.start_scoring(scorer=made)
    with pytest.raises(Refused, match="already"):
        scoring.start_scoring(scorer=made)
    _, held = claim(ScoringJob, job.pk)
    line = {"id": str(first.pk), "logp": -4.0, "reference_logp": -6.0, "token_count": 5}
    gone = {**line, "id": str(second.pk + 99)}
    for _ in range(2):
        assert scoring.store(job=job, claim=held, lines=[line, gone])
    (row,) = Score.objects.all()
    assert (row.reward, row.beta, row.logp, row.token_count) == (1.0, 0.5, -4.0, 5)
    assert list(scoring.missing(made)) == [second]
    ScoringJob.objects.update(attempt=9)
    assert not scoring.store(job=job, claim=held, lines=[line])
    with pytest.raises(IntegrityError), transaction.atomic():
        Score.objects.create(round=made, completion=second, reward=1, logp=-1, token_count=1)


def test_new_completions_are_scored_where_the_project_asks(project):
    made = trained(project)
    make_completion(make_prompt(project), made.start)
    assert scoring.start_due_scoring() == []
    LoopSettings.objects.update(score_new=True)
    (job,) = scoring.start_due_scoring()
    assert (job.round, job.total_steps) == (made, 1)
    assert scoring.start_due_scoring() == []
    ScoringJob.objects.update(state="failed")
    assert scoring.start_due_scoring() == []  # a person decides


def test_the_usual_scorer_is_the_newest_reward_model(project):
    made = trained(project)
    assert scorers.usual(project) == made
    model = make_round(project, 2, kind="reward", reward_adapter="somewhere")
    trained(project, 3)
    assert scorers.usual(project) == model
    assert scorers.job_of(model)["kind"] == "judge"


def test_chosen_pairs_wait_for_rewards_and_stay_out_of_the_ranking(project):
    made = trained(project)
    LoopSettings.objects.update(meeting="close", meeting_at_random=10)
    prompts = [make_prompt(project) for _ in range(60)]
    answers = [[make_completion(prompt, made.start) for _ in range(3)] for prompt in prompts]
    Policy.objects.exclude(pk=made.start.pk).update(state=Policy.State.RETIRED)
    pair_up(project=project)
    assert not Comparison.objects.exists()
    for place, own in enumerate(answers):
        for completion, reward in zip(own, (0.0, 1.0 + place, 1.5 + 2 * place), strict=True):
            Score.objects.create(round=made, completion=completion, reward=reward, token_count=1)
    pair_up(project=project)
    picked = list(Comparison.objects.filter(picked="close").order_by("shuffle"))
    assert 40 < len(picked) < 60  # each prompt is left to chance with probability 0.1
    assert Comparison.objects.filter(picked="").count() == 60 - len(picked)
    rewards = dict(Score.objects.values_list("completion", "reward"))
    margins = [abs(rewards[comparison.a_id] - rewards[comparison.b_id]) for comparison in picked]
    assert margins == sorted(margins)
    closest = {prompt.pk: 0.5 + place for place, prompt in enumerate(prompts)}
    assert margins == [closest[comparison.prompt_id] for comparison in picked]
    rater = join(project, make_user())
    judge(picked[0], rater, "a")
    assert PreferencePair.objects.count() == 1
    from training.projects import overview

    assert overview.bouts(project) == []


def test_where_scoring_failed_nothing_waits(project):
    made = trained(project)
    LoopSettings.objects.update(meeting="far")
    assert selection_of(project).waits
    ScoringJob.objects.create(project=project, round=made, state="failed")
    assert not selection_of(project).waits


def test_without_a_selection_comparisons_are_as_ever(project):
    base = make_policy(project, "base")
    prompt = make_prompt(project)
    for _ in range(2):
        make_completion(prompt, base)
    nothing = PairingPreference(PairsFirst.FAR, 0.0, lambda completions: {})
    assert make_comparisons(project=project, selection=nothing) == 1
    assert Comparison.objects.get().picked == ""


def test_what_was_scored_once_is_not_worked_out_anew(project):
    made = trained(project)
    completion = make_completion(make_prompt(project), made.start, "Yes.")
    Score.objects.create(
        round=made,
        completion=completion,
        reward=1,
        logp=-1,
        reference_logp=-3,
        beta=0.5,
        token_count=2,
    )
    known = score_cache.known(made, [completion.prompt_id])
    assert known == {
        (completion.prompt_id, "Yes."): {"logp": -1, "reference_logp": -3, "token_count": 2}
    }
    other = make_completion(completion.prompt, made.policy, "Yes.")
    line = {"id": f"{other.prompt_id}:{other.policy_id}:{other.seed}", "text": "Yes."}
    assert (
        score_cache.keep(
            [score_cache.marked(line, made, known[completion.prompt_id, "Yes."]), {"id": "1:1:1"}]
        )
        == 1
    )
    assert Score.objects.get(completion=other).reward == 1.0


def test_both_kinds_are_held_against_the_same_pairs(project):
    rater = join(project, make_user())
    made = trained(project)
    model = make_round(project, 2, kind="reward", reward_adapter="somewhere")
    settle(project, made, rater, [1.0, 1.0, -1.0, 1.0])
    pairs = PreferencePair.objects.order_by("pk")
    for pair in pairs[:3]:  # the fourth is not scored by the model
        score(model, **{f"c{pair.chosen_id}": 2.0, f"c{pair.rejected_id}": 1.0})
    made.metrics.create(step=9, name="held_out/reward_accuracy", value=0.75)
    ours, theirs = scored_pairs.rewards_beside(made)
    assert (ours.share.wins, ours.share.losses) == (2, 1)
    assert (theirs.share.wins, theirs.share.losses) == (3, 0)
    assert (ours.as_trained.wins, theirs.as_trained) == (3, None)


# --- pages ---

NAMES = ["rewards", "rewards_csv", "rewards_json", "rewards_live"]


@pytest.fixture
def scored(project):
    rater = join(project, make_user("a-rater-by-name"))
    make_round(project, 1, kind="reward", reward_adapter="somewhere")
    settle(project, project.rounds.get(), rater, [2.0, -3.0, 0.5, -1.0] * 4)
    settle(project, project.rounds.get(), rater, [0.25], held_out=False)
    return project


@pytest.mark.parametrize("name", NAMES)
def test_rewards_are_for_managers(scored, client, name):
    address = reverse(name, args=[scored.slug])
    client.force_login(join(scored, make_user()))
    assert client.get(address).status_code == 403
    client.force_login(make_user())
    assert client.get(address).status_code == 404
    client.force_login(join(scored, make_user(), "manager"))
    assert client.get(address).status_code in (200, 286)


def test_the_greatest_disagreement_comes_first_and_names_nobody(
    scored, client, django_assert_max_num_queries
):
    client.force_login(join(scored, make_user(), "manager"))
    with django_assert_max_num_queries(45):
        response = client.get(reverse("rewards", args=[scored.slug]))
    page = response.content.decode()
    assert "a-rater-by-name" not in page
    assert "1 of 1 rater chose this" in page
    rows = response.context["rows"]
    assert [row.chosen for row in rows[:5]] == ["\N{MINUS SIGN}3.00"] * 4 + ["\N{MINUS SIGN}1.00"]
    assert reverse("comparison", args=[scored.slug, rows[0].pair.comparison_id]) in page
    assert "On held-out pairs it agrees with the raters" in page
    second = client.get(reverse("rewards", args=[scored.slug]), {"page": 2, "where": "held_out"})
    assert [row.chosen for row in second.context["rows"]] == ["+0.50"] * 2 + ["+2.00"] * 4
    data = client.get(reverse("rewards_json", args=[scored.slug])).json()
    assert data["agreement"]["held_out"]["right"] == 8
    assert data["agreement"]["neither"]["right"] == 1
    assert data["kind"] == "reward_model"
    lines = client.get(reverse("rewards_csv", args=[scored.slug])).content.decode().splitlines()
    assert len(lines) == 18
    assert ",held_out,-3," in lines[1]


def test_without_a_scorer_the_page_says_what_would_help(project, client):
    client.force_login(join(project, make_user(), "manager"))
    page = client.get(reverse("rewards", args=[project.slug])).content.decode()
    assert "Train a reward model" in page
    assert client.get(reverse("rewards_csv", args=[project.slug])).status_code == 404


def test_a_manager_scores_trains_and_downloads(project, client, tmp_path):
    made = trained(project)
    make_completion(make_prompt(project), made.start)
    settle(project, made, join(project, make_user()), [1.0], held_out=False)
    client.force_login(join(project, make_user(), "manager"))
    page = client.post(reverse("start_scoring", args=[project.slug]), {"by": "1"}, follow=True)
    assert "0 of 1" in page.content.decode()
    cancel = reverse("cancel_scoring", args=[project.slug, ScoringJob.objects.get().pk])
    assert client.post(cancel).status_code == 302
    assert ScoringJob.objects.get().state == "cancelled"
    train = reverse("train_reward_model", args=[project.slug])
    page = client.post(train, {"pairs": made.snapshot.sha256, "start": "round-1"}, follow=True)
    assert "Reward model: it scores answers and writes none" in page.content.decode()
    (tmp_path / "adapter_config.json").write_text("{}")
    model = Round.objects.get(number=2)
    Round.objects.filter(pk=model.pk).update(state="succeeded", reward_adapter=str(tmp_path))
    page = client.get(reverse("round", args=[project.slug, 2])).content.decode()
    assert reverse("reward_adapter", args=[project.slug, 2]) in page
    assert "/report/" not in page  # reports are about answers
    assert client.get(reverse("report", args=[project.slug, 2])).status_code == 404
    assert "side by side" in page
    response = client.get(reverse("reward_adapter", args=[project.slug, 2]))
    assert b"adapter_config.json" in b"".join(response.streaming_content)
    assert "reward model" in client.get(reverse("rounds", args=[project.slug])).content.decode()


# --- the engine ---


@pytest.mark.slow
def test_the_engine_trains_a_reward_model_and_scores_by_it(
    project, tmp_path, settings, monkeypatch
):
    monkeypatch.setattr(worker, "run_engine", run_engine)
    settings.ADAPTERS_DIR = tmp_path / "published"
    LoopSettings.objects.update(
        round_config={"optimisation": {"epochs": 1.0, "batch_size": 8, "learning_rate": 1e-3}}
    )
    rater = join(project, make_user())
    base = make_policy(
        project, "base", kind=Policy.Kind.BASE, base_model=str(MODEL_DIR), state="champion"
    )
    for number in range(10):
        prompt = make_prompt(project, f"What is {number} and one?", held_out=number >= 8)
        judge(meet(project, base, base, prompt=prompt, text_a=f"It is {number + 1}."), rater, "a")
    made = reward_rounds.start_reward_round(project=project)
    run_round(made.pk)
    made.refresh_from_db()
    assert made.state == "succeeded", made.error
    assert made.policy is None
    assert "lora" in made.config
    assert Path(made.reward_adapter, "adapter_model.safetensors").exists()
    assert made.metrics.filter(name="held_out/reward_accuracy").exists()
    job = scoring.start_scoring(scorer=made)
    run_scoring(job.pk)
    job.refresh_from_db()
    assert (job.state, job.stored, job.total_steps) == ("succeeded", 20, 20), job.error
    assert Score.objects.filter(round=made, beta=None).count() == 20
    (ours,) = scored_pairs.side_by_side(project, [made])
    assert ours.share.decided == 2
    metric = made.metrics.filter(name="held_out/reward_margin").order_by("-step").first()
    margins = [pair.margin for pair in scored_pairs.told(project, made) if pair.is_held_out]
    assert sum(margins) / 2 == pytest.approx(metric.value, abs=1e-4)
    # The worker dies after some lines: stored scores stay stored once, the rest follows.
    with Path(job.run_dir, "scores.jsonl").open() as file:
        lines = file.readlines()
    Path(job.run_dir, "scores.jsonl").write_text("".join(lines[:7]))
    Path(job.run_dir, "result.json").unlink()
    kept_ones = {int(json.loads(line)["id"]) for line in lines[:7]}
    Score.objects.exclude(completion__in=kept_ones).delete()
    ScoringJob.objects.update(state="queued", stored=0, finished_at=None)
    run_scoring(job.pk)
    job.refresh_from_db()
    assert (job.state, job.stored) == ("succeeded", 20), job.error
    assert Score.objects.filter(round=made).count() == 20
