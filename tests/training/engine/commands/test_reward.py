"""Reward models: equal to a padded plain-transformers computation, trained, resumed and loaded."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.engine.conftest import make_pairs, read_json, read_lines, run_engine, write_job
from tests.training.engine.layouts import KINDS, SIZES, distance, random_trees
from training.engine.config import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    DpoJob,
    JudgeJob,
    Lora,
    Model,
    Optimisation,
    RewardJob,
    ScoreJob,
)
from training.engine.data.chat import Chat, Tree
from training.engine.data.pairs import read_pairs
from training.engine.forward import reward_model
from training.engine.losses.reward import Reward, bradley_terry
from training.engine.model import adapters as policy

NewRun = Callable[..., Path]


def job(base: Path, **changes: Any) -> RewardJob:
    settings = RewardJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(learning_rate=1e-2, epochs=2, batch_size=8),
    )
    return dataclasses.replace(settings, **changes)


def values(folder: Path, split: str, name: str) -> list[float]:
    rows = read_lines(folder / "metrics.jsonl")
    return [row["values"][name] for row in rows if row["split"] == split]


# --- the loss ---


def test_the_loss_on_paper() -> None:
    """-log σ(1) = log(1 + 1/e), mixed with -log σ(-1); a margin of 1 makes it -log σ(0) = ln 2."""
    one, zero = torch.tensor([1.0]), torch.tensor([0.0])
    right, wrong = math.log(1 + math.exp(-1)), math.log(1 + math.exp(1))
    assert bradley_terry(one, zero).item() == pytest.approx(right, abs=1e-6)
    smoothed = bradley_terry(one, zero, label_smoothing=0.1).item()
    assert smoothed == pytest.approx(0.9 * right + 0.1 * wrong, abs=1e-6)
    assert bradley_terry(one, zero, margin=1.0).item() == pytest.approx(math.log(2), abs=1e-6)
    assert bradley_terry(one, one, centre=0.5).item() == pytest.approx(math.log(2) + 2, abs=1e-6)


# --- the computation ---


def classifier(kind: str) -> Any:
    """A random classifier of this kind with an adapter and a head that are not zero."""
    import transformers

    name, settings = KINDS[kind]
    config = getattr(transformers, name)(**{**SIZES, **settings}, num_labels=1)
    torch.manual_seed(0)
    base = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    model = reward_model.fresh_adapter(base.requires_grad_(False), Lora(r=4, alpha=8), 0)
    draw = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn(parameter.shape, generator=draw) * 0.1
    return model


def plainly(model: Any, trees: list[Tree]) -> Tensor:
    """The rewards [S] from transformers' own forward pass, with one padded row per branch."""
    rows = [row for tree in trees for row in tree.rows]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_loss_and_gradient_are_those_of_plain_transformers(kind: str) -> None:
    """Trees in three micro-batches against padded rows in one batch; no token is the padding id."""
    trees = random_trees(9)
    objective = Reward(RewardJob(model=Model(base=""), margin=0.3, label_smoothing=0.1))

    def gradient(model: Any) -> Tensor:
        trained = [p for p in model.parameters() if p.requires_grad]
        return torch.cat([p.grad.flatten() for p in trained if p.grad is not None])

    model = classifier(kind)
    expected = objective.terms(plainly(model, trees).double(), None, trees).loss
    expected.backward()
    theirs = gradient(model)
    model.zero_grad()
    layout, reason = reward_model.choose_layout(model, 0)
    assert (layout.name, reason) == ("shared", None)
    ours = 0.0
    for part in (trees[:4], trees[4:5], trees[5:]):
        loss = objective.terms(layout.logps(model, part), None, part).loss
        loss.backward()
        ours += loss.item()
    assert ours == pytest.approx(expected.item(), rel=1e-5)
    assert distance(gradient(model), theirs) < 1e-4


def test_a_model_that_cannot_share_is_padded_and_equal() -> None:
    model = classifier("llama")
    policy.causal_lm(model).config.model_type = "llama-of-tomorrow"
    layout, reason = reward_model.choose_layout(model, 0)
    assert layout.name == "padded"
    assert "not among" in str(reason)
    trees = random_trees(5)
    assert distance(layout.logps(model, trees), plainly(model, trees)) < 1e-6


# --- jobs ---


def easy_pairs(count: int, held_out: int) -> list[dict[str, Any]]:
    """Whatever the question, an answer with "yes" in it is better than the same without."""
    rows = make_pairs(count, seed=4, held_out=held_out)
    for row in rows:
        answer = row["chosen"][0]["content"]
        row["rejected"] = [{"role": "assistant", "content": f"{answer} sorry no"}]
        row["chosen"] = [{"role": "assistant", "content": f"{answer} good yes"}]
    return rows


@pytest.fixture(scope="module")
def done(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on easy pairs."""

    from tests.training.engine.conftest import write_lines

    folder = tmp_path_factory.mktemp("reward")
    write_job(job(base), folder)
    write_lines(folder / "pairs.jsonl", easy_pairs(64, held_out=24))
    assert run_engine("reward", folder) == EXIT_DONE
    return folder


def test_it_begins_knowing_nothing_and_learns_an_easy_preference(done: Path) -> None:
    assert values(done, "held_out", "loss")[0] == pytest.approx(math.log(2), abs=1e-9)
    assert values(done, "held_out", "reward_accuracy")[0] == 0.5
    assert values(done, "held_out", "reward_accuracy")[-1] > 0.9
    result = read_json(done / "result.json")
    assert result["layout"] == "shared"
    assert result["final"]["held_out"]["reward_accuracy"] > 0.9


def test_plain_peft_loads_the_adapter_and_gives_the_same_rewards(
    done: Path, base: Path, new_run: NewRun
) -> None:
    """A judge job gives the same rewards; held-out accuracy is the one that training reported."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    names = {path.name for path in (done / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors", "provenance.json"}
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    plain.config.pad_token_id = 0
    model = PeftModel.from_pretrained(plain, done / "adapter").eval()
    pairs = [pair for pair in read_pairs(done / "pairs.jsonl") if pair.split == "held_out"]
    trees = Chat(AutoTokenizer.from_pretrained(base)).pair_trees(pairs, 2048)
    with torch.no_grad():
        expected = plainly(model, trees).tolist()

    rows = [
        {"id": f"{pair.id} {which}", "messages": pair.prompt, "text": answer[0]["content"]}
        for pair in pairs
        for which, answer in (("chosen", pair.chosen), ("rejected", pair.rejected))
    ]
    judge = JudgeJob(model=Model(base=str(base)), adapter=str(done / "adapter"))
    folder = new_run("judged", judge, completions=rows)
    assert run_engine("judge", folder) == EXIT_DONE
    rewards = {line["id"]: line["reward"] for line in read_lines(folder / "scores.jsonl")}
    assert [rewards[row["id"]] for row in rows] == pytest.approx(expected, abs=1e-5)
    right = [rewards[f"{p.id} chosen"] > rewards[f"{p.id} rejected"] for p in pairs]
    reported = values(done, "held_out", "reward_accuracy")[-1]
    assert sum(right) / len(right) == pytest.approx(reported)

    # Stopped after a few lines, the job continues with the rest and writes nothing twice.
    again = new_run("half-judged", judge, completions=rows)
    lines = (folder / "scores.jsonl").read_text().splitlines(keepends=True)
    (again / "scores.jsonl").write_text("".join(lines[:5]) + '{"id": "to')
    assert run_engine("judge", again) == EXIT_DONE
    second = {line["id"]: line["reward"] for line in read_lines(again / "scores.jsonl")}
    assert len(read_lines(again / "scores.jsonl")) == len(rows)
    assert second == pytest.approx(rewards, abs=1e-5)


def test_an_interrupted_run_ends_as_the_uninterrupted_one(
    done: Path, base: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.engine.__main__ import run_job
    from training.engine.runtime.process import StopRequest
    from training.engine.trainer.trainer import Trainer

    folder = new_run("stopped", job(base), pairs=easy_pairs(64, held_out=24))
    stop = StopRequest()
    step = Trainer.training_step

    def stopping(self: Trainer, *arguments: Any, **named: Any) -> Tensor:
        if self.step == 4:
            stop.set()
        return step(self, *arguments, **named)

    monkeypatch.setattr(Trainer, "training_step", stopping)
    assert run_job("reward", folder, stop) == EXIT_STOPPED
    monkeypatch.undo()
    assert run_engine("reward", folder) == EXIT_DONE
    assert (
        read_json(folder / "result.json")["adapter_sha256"]
        == read_json(done / "result.json")["adapter_sha256"]
    )


def test_it_goes_on_from_a_policy_and_from_itself(
    done: Path, base: Path, talker: Path, new_run: NewRun
) -> None:
    once = Optimisation(learning_rate=1e-3, epochs=1, batch_size=32)
    rows = easy_pairs(40, held_out=24)
    first = new_run("a", job(base, start_adapter=str(talker), optimisation=once), pairs=rows)
    assert run_engine("reward", first) == EXIT_DONE
    assert values(first, "held_out", "reward_margin")[0] == 0
    second = new_run(
        "b", job(base, start_adapter=str(done / "adapter"), optimisation=once), pairs=rows
    )
    assert run_engine("reward", second) == EXIT_DONE
    assert values(second, "held_out", "reward_accuracy")[0] > 0.9


@pytest.mark.parametrize("kind", ["judge", "score"])
def test_a_policy_is_no_reward_model_nor_the_other_way_round(
    kind: str, done: Path, base: Path, talker: Path, new_run: NewRun
) -> None:
    model = Model(base=str(base))
    row = {"id": "1", "messages": [{"role": "user", "content": "tea"}], "text": "yes"}
    wrong: JudgeJob | ScoreJob = JudgeJob(model=model, adapter=str(talker))
    if kind == "score":
        wrong = ScoreJob(model=model, adapters={"a": str(done / "adapter")})
    folder = new_run(kind, wrong, completions=[{**row, "policy": "a"}])
    assert run_engine(kind, folder) == EXIT_FAILED
    assert read_json(folder / "error.json")["kind"] == "adapter_refused"


# --- the implicit reward ---


def test_scores_are_the_training_engines_own_numbers(base: Path, new_run: NewRun) -> None:
    """β (log π - log π_ref) of a score job gives the held-out metrics that DPO reported."""
    rows = make_pairs(20, held_out=8)
    settings = Optimisation(learning_rate=1e-2, epochs=1, batch_size=6)
    dpo = DpoJob(model=Model(base=str(base)), lora=Lora(r=4), beta=0.3, optimisation=settings)
    trained = new_run("dpo", dpo, pairs=rows)
    assert run_engine("dpo", trained) == EXIT_DONE
    completions = [
        {
            "id": f"{row['id']} {which}",
            "messages": row["prompt"],
            "policy": "a",
            "text": row[which][0]["content"],
        }
        for row in rows
        if row["split"] == "held_out"
        for which in ("chosen", "rejected")
    ]
    adapters = {"a": str(trained / "adapter")}
    scoring = new_run(
        "score", ScoreJob(model=dpo.model, adapters=adapters), completions=completions
    )
    assert run_engine("score", scoring) == EXIT_DONE
    scores = {line["id"]: line for line in read_lines(scoring / "scores.jsonl")}

    def mean(which: str, value: Callable[[dict[str, Any]], float]) -> float:
        own = [value(line) for name, line in scores.items() if name.endswith(which)]
        return sum(own) / len(own)

    def reward(line: dict[str, Any]) -> float:
        return float(0.3 * (line["logp"] - line["reference_logp"]))

    for name, value in (
        ("logp_chosen", mean(" chosen", lambda line: float(line["logp"]))),
        ("logp_reference_rejected", mean("rejected", lambda line: float(line["reference_logp"]))),
        ("reward_margin", mean(" chosen", reward) - mean("rejected", reward)),
    ):
        assert value == pytest.approx(values(trained, "held_out", name)[-1], rel=1e-5, abs=1e-6)
