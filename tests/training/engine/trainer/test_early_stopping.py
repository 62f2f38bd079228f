"""Early stopping: the best evaluation's adapter is published, interrupted or not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.engine.conftest import (
    make_pairs,
    read_json,
    read_lines,
    run_engine,
    write_job,
    write_lines,
)
from training.engine.__main__ import run_job
from training.engine.config import (
    EXIT_DONE,
    EXIT_STOPPED,
    DpoJob,
    Lora,
    Model,
    Optimisation,
)
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import sha256_of
from training.engine.trainer.early_stopping import best_of, score_of


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({}, (None, 0)),
        ({0: 9.0}, (None, 0)),
        ({0: 9.0, 2: 1.0}, (2, 0)),
        ({2: 1.0, 4: 0.5, 6: 0.9}, (2, 2)),
        ({2: 1.0, 4: 1.0}, (2, 1)),
        ({6: 0.3, 2: 0.1, 4: 0.2}, (6, 0)),
    ],
)
def test_the_best_evaluation_and_how_many_followed(
    history: dict[int, float], expected: tuple[int | None, int]
) -> None:
    assert best_of(history) == expected


def test_the_margin_is_watched_or_else_the_loss() -> None:
    assert score_of({"reward_margin": 0.5, "loss": 3.0}) == 0.5
    assert score_of({"loss": 3.0}) == -3.0
    assert score_of({"reward_margin": float("nan")}) == score_of({}) == float("-inf")


class StopAfter(StopRequest):
    """A stop request that is set once it has been checked this many times."""

    def __init__(self, asked: int) -> None:
        super().__init__()
        self.left = asked

    def __bool__(self) -> bool:
        self.left -= 1
        return self.left < 0


def job(base: Path, patience: int) -> DpoJob:
    return DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, dropout=0.1),
        optimisation=Optimisation(
            learning_rate=1e-2,
            epochs=6,
            batch_size=8,
            eval_fraction=1 / 12,
            checkpoint_fraction=0.2,
            patience=patience,
        ),
    )


@pytest.fixture(scope="module")
def new_folder(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    def new(name: str, patience: int) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write_job(job(base, patience), folder)
        write_lines(folder / "pairs.jsonl", make_pairs(40, held_out=8))
        return folder

    return new


@pytest.fixture(scope="module")
def patient(new_folder: Callable[[str, int], Path]) -> Path:
    folder = new_folder("patient", 2)
    assert run_engine("dpo", folder) == EXIT_DONE
    return folder


def margins(folder: Path) -> dict[int, float]:
    rows = read_lines(folder / "metrics.jsonl")
    held_out = (row for row in rows if row["split"] == "held_out")
    return {row["step"]: row["values"]["reward_margin"] for row in held_out}


def test_it_ends_when_its_patience_does(patient: Path) -> None:
    result, seen = read_json(patient / "result.json"), margins(patient)
    best, after = best_of(seen)
    assert after == 2
    assert result["best_step"] == best
    assert result["steps"] == max(seen) < result["planned_steps"] == 24
    assert result["final"]["held_out"]["reward_margin"] == seen[best or 0]


def test_the_best_adapter_is_what_is_published(patient: Path) -> None:
    best = patient / f"best-{read_json(patient / 'result.json')['best_step']}"
    weights = "adapter_model.safetensors"
    assert sha256_of(patient / "adapter" / weights) == sha256_of(best / weights)


def test_interrupted_again_and_again_it_ends_the_same(
    patient: Path, new_folder: Callable[[str, int], Path]
) -> None:
    folder = new_folder("interrupted", 2)
    ends = []
    for asked in range(8, 40, 2):
        if not (folder / "result.json").exists():
            ends.append(run_job("dpo", folder, StopAfter(asked)))
    assert ends.count(EXIT_STOPPED) >= 2
    assert ends[-1] == EXIT_DONE
    assert list(folder.glob("checkpoint-*"))
    assert margins(folder) == margins(patient)
    uninterrupted, interrupted = (read_json(path / "result.json") for path in (patient, folder))
    for name in ("adapter_sha256", "best_step", "steps", "planned_steps"):
        assert uninterrupted[name] == interrupted[name]


def test_without_patience_the_last_adapter_is_published(
    base: Path, new_folder: Callable[[str, int], Path]
) -> None:
    folder = new_folder("impatient", 0)
    settings = dataclasses.replace(job(base, 0).optimisation, epochs=0.5)
    write_job(dataclasses.replace(job(base, 0), optimisation=settings), folder)
    assert run_engine("dpo", folder) == EXIT_DONE
    result = read_json(folder / "result.json")
    assert (result["best_step"], result["steps"], result["planned_steps"]) == (None, 2, 2)
    assert not list(folder.glob("best-*"))
