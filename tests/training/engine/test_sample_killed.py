"""SIGKILL at random moments of sampling: at the end every completion exists exactly once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import THOROUGH
from training.engine.config import Model, SampleJob, Sampling

from .conftest import read_lines
from .lives import start_life
from .test_sample import prompts

NewRun = Callable[..., Path]
KILLS = 30 if THOROUGH else 12
"""Through the database, in ``tests/training/test_sampling_killed.py``; here fewer say enough."""
KILLS_HERE = 4


def live(folder: Path) -> int:
    return start_life("sample", folder).wait()


def live_until(folder: Path, moment: float) -> bool:
    """Kill the engine ``moment`` seconds after it wrote something new, or began; False: it ended.

    Half of the moments count from the start, so that loading is met too.
    """
    file = folder / "completions.jsonl"
    size = file.stat().st_size if file.exists() else 0
    life = start_life("sample", folder)
    if moment < 0.5:
        while life.poll() is None and (not file.exists() or file.stat().st_size <= size):
            time.sleep(0.001)
        moment /= 10
    time.sleep(moment)
    killed = life.poll() is None
    life.kill()
    life.wait()
    return killed


def test_killed_at_random_moments_every_completion_exists_once(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    asked = [
        {**row, "id": f"{row['id']}/{draw}", "seed": 1000 * draw + row["seed"]}
        for row in prompts(16, ("base", "v1.0"))
        for draw in range(3)
    ]
    job = SampleJob(
        model=Model(base=str(base)),
        adapters={"base": None, "v1.0": str(talker)},
        sampling=Sampling(max_new_tokens=60),
        batch_size=16,
    )
    whole, part = (new_run(name, job, prompts=asked) for name in ("whole", "part"))
    assert live(whole) == 0
    chance = random.Random(0)
    grown = []
    for _ in range(KILLS_HERE):
        killed = live_until(part, chance.random())
        file = part / "completions.jsonl"
        grown.append(file.read_bytes().count(b"\n") if file.exists() else 0)
        if not killed:
            break
    assert len(grown) >= 3, "the job must be long enough to be killed many times"
    assert len(set(grown)) >= 2, "the kills must meet the writing"
    assert live(part) == 0
    rows = read_lines(part / "completions.jsonl")
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in asked)
    expected = {row["id"]: row["text"] for row in read_lines(whole / "completions.jsonl")}
    assert {row["id"]: row["text"] for row in rows} == expected
