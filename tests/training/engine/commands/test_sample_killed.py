"""SIGKILL at random moments of sampling: in the end every completion exists exactly once."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.engine.commands.test_sample import prompts
from tests.training.engine.conftest import read_lines
from tests.training.engine.lives import live, live_until
from training.engine.config import Model, SampleJob, Sampling

NewRun = Callable[..., Path]
KILLS = 4
"""``tests/training/sampling/test_killed.py`` has more kills, with the database involved."""


@pytest.mark.slow
def test_killed_at_random_moments_every_completion_exists_once(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    asked = [
        {**row, "id": f"{row['id']}/{draw}", "seed": 1000 * draw + row["seed"]}
        for row in prompts(16, ("base", "v1.0"))
        for draw in range(9)
    ]
    job = SampleJob(
        model=Model(base=str(base)),
        adapters={"base": None, "v1.0": str(talker)},
        sampling=Sampling(max_new_tokens=60),
        batch_size=16,
    )
    uninterrupted, interrupted = (new_run(name, job, prompts=asked) for name in ("whole", "part"))
    assert live(uninterrupted) == 0
    chance = random.Random(0)
    grown = []
    for _ in range(KILLS):
        killed = live_until(interrupted, chance.random())
        file = interrupted / "completions.jsonl"
        grown.append(file.read_bytes().count(b"\n") if file.exists() else 0)
        if not killed:
            break
    assert len(grown) >= 3, "the job must be long enough to be killed many times"
    assert len(set(grown)) >= 2, "the kills must meet the writing"
    assert live(interrupted) == 0
    rows = read_lines(interrupted / "completions.jsonl")
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in asked)
    expected = {row["id"]: row["text"] for row in read_lines(uninterrupted / "completions.jsonl")}
    assert {row["id"]: row["text"] for row in rows} == expected
