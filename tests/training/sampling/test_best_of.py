"""Best of n: the rule by table, then the real engine on the built-in model."""

import json
from pathlib import Path

import pytest
from django.urls import reverse

from annotate.models import Comparison, Completion, Policy
from tests.factories import join, make_completion, make_policy, make_project, make_prompt, make_user
from training.demo import MODEL_DIR
from training.engine.config import Lora, Model
from training.errors import Refused
from training.models import LoopSettings, Round, SamplingJob, Score, Snapshot
from training.policies.pool import promote, sampled_policies
from training.sampling import best_of
from training.sampling.jobs import start_sampling
from training.sampling.worker import run_sampling


def answers(*keys):
    return [{"id": key, "text": key} for key in keys]


def test_the_highest_reward_of_each_draw_is_kept():
    rewards = {"1:2:3#0": -4.0, "1:2:3#1": 0.5, "1:2:4#0": 0.1, "1:2:4#1": 0.1}
    best = best_of.best(answers(*rewards), rewards)
    assert best == [{"id": "1:2:3", "text": "1:2:3#1"}, {"id": "1:2:4", "text": "1:2:4#0"}]


def test_a_draw_that_is_not_wholly_scored_waits():
    assert best_of.best(answers("1:2:3#0", "1:2:3#1"), {"1:2:3#0": 9.0}) == []


def test_the_answers_behind_a_draw_have_seeds_of_their_own():
    made = dict(best_of.numbered("1:2:3", 3, 4))
    assert list(made) == ["1:2:3#0", "1:2:3#1", "1:2:3#2", "1:2:3#3"]
    assert len(set(made.values())) == 4
    assert made == dict(best_of.numbered("1:2:3", 3, 4))
    assert set(made.values()).isdisjoint(dict(best_of.numbered("1:2:4", 4, 4)).values())


# --- rows ---


@pytest.fixture
def project(db):
    project = make_project(held_out_percent=0, screening={"on": ["same"]})
    LoopSettings.objects.create(
        project=project, base_model=str(MODEL_DIR), completions_per_prompt=2, max_new_tokens=16
    )
    return project


def trained(project, folder="absent"):
    """A policy that a round has trained from the base, with the adapter in ``folder``."""
    base = make_policy(
        project, "base", kind=Policy.Kind.BASE, base_model=str(MODEL_DIR), state="champion"
    )
    made = make_policy(
        project,
        "round-1",
        kind=Policy.Kind.ADAPTER,
        base_model=str(MODEL_DIR),
        adapter_path=str(folder),
        parent=base,
        state="candidate",
    )
    snapshot = Snapshot.objects.create(project=project, counts={}, sha256="ab" * 32, path="absent")
    Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=base,
        reference=base,
        state=Round.State.SUCCEEDED,
        policy=made,
    )
    return made


def test_it_joins_the_pool_beside_what_it_draws_from(project):
    source = trained(project)
    made = best_of.make_best_of(source=source, count=4)
    assert (made.slug, made.parent, made.best_of) == ("round-1-best-of-4", source, 4)
    assert made in sampled_policies(project)
    assert best_of.scoring_round(made).policy == source
    with pytest.raises(Refused, match="there already"):
        best_of.make_best_of(source=source, count=4)


def test_what_no_round_has_trained_has_no_reward(project):
    base = trained(project).parent
    with pytest.raises(Refused, match="no implicit reward"):
        best_of.make_best_of(source=base, count=4)
    for count in (0, 1, best_of.MOST + 1):
        with pytest.raises(Refused, match="Choose from"):
            best_of.make_best_of(source=project.policies.get(slug="round-1"), count=count)


def test_no_round_starts_from_it(project):
    made = best_of.make_best_of(source=trained(project), count=2)
    with pytest.raises(Refused, match="not a model of its own"):
        promote(policy=made)


def test_a_manager_adds_it(project, client):
    trained(project)
    client.force_login(join(project, make_user(), "manager"))
    address = reverse("add_best_of", args=[project.slug])
    for count, message in (("3", "is in the pool"), ("3", "there already"), ("x", "Choose from")):
        page = client.post(address, {"source": "round-1", "count": count}, follow=True)
        assert message in page.content.decode()
    assert project.policies.filter(kind=Policy.Kind.BEST_OF).count() == 1


def make_adapter(folder: Path) -> None:
    """An adapter on the built-in model that changes its answers."""
    import torch  # takes seconds, and most tests here do not need it

    from training.engine.model import adapters as engine_policy

    base = engine_policy.load_base(Model(base=str(MODEL_DIR)), torch.float32, torch.device("cpu"))
    model = engine_policy.fresh_adapter(base, Lora(r=4), 0)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    engine_policy.save_adapter(model, folder)


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.django_db(transaction=True)
def test_the_engine_writes_several_and_the_best_is_stored(project, tmp_path):
    make_adapter(tmp_path / "adapter")
    made = best_of.make_best_of(source=trained(project, tmp_path / "adapter"), count=3)
    prompts = [make_prompt(project, f"What is the capital of country {n}?") for n in range(2)]
    source = project.policies.get(slug="round-1")
    for prompt in prompts:
        make_completion(prompt, source)
    (job,) = start_sampling(project=project, policies=[made])
    run_sampling(job.pk)
    job = SamplingJob.objects.get(pk=job.pk)
    assert (job.state, job.stored, job.total_steps) == ("succeeded", 4, 4), job.error
    folder = Path(job.run_dir)
    written = [json.loads(line) for line in (folder / "completions.jsonl").open()]
    assert len(written) == 12
    scores = {
        row["id"]: row["logp"] - row["reference_logp"]
        for row in map(json.loads, (folder / f"score-{made.slug}" / "scores.jsonl").open())
    }
    assert len(set(scores.values())) > 4
    for completion in Completion.objects.filter(policy=made):
        key = f"{completion.prompt_id}:{made.pk}:{completion.seed}"
        own = [line for line in written if line["id"].startswith(f"{key}#")]
        top = max(own, key=lambda line: scores[line["id"]])
        assert completion.text == top["text"]
        # The winner's score is stored, and is the one that a scoring job would give it.
        score = Score.objects.get(completion=completion, round=best_of.scoring_round(made))
        assert score.reward == pytest.approx(score.beta * scores[top["id"]])
    met = Comparison.objects.filter(a__policy=made) | Comparison.objects.filter(b__policy=made)
    assert {comparison.a.policy for comparison in met} | {
        comparison.b.policy for comparison in met
    } >= {made, source}
    with pytest.raises(Refused):
        start_sampling(project=project, policies=[made])
