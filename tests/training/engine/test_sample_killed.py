"""SIGKILL at random moments of sampling: at the end every completion exists exactly once.

The engine runs in children of a server that has loaded its libraries, so that thirty lives take
seconds; a killed child leaves what a killed process leaves.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from training.engine.config import Model, SampleJob, Sampling

from .conftest import read_lines
from .test_sample import prompts

NewRun = Callable[..., Path]
KILLS = 30
"""Through the database, in ``tests/training/test_sampling_killed.py``; here fewer say enough."""
KILLS_HERE = 4


def one_life(folder: str) -> None:
    """What a process of the engine does, from its beginning."""
    import torch

    from training.engine.__main__ import run_job

    torch.set_num_threads(1)
    raise SystemExit(run_job("sample", Path(folder)))


def lives() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.engine.sample", "transformers.models.llama"])
    return context


def live(context: multiprocessing.context.ForkServerContext, folder: Path) -> int | None:
    child = context.Process(target=one_life, args=(str(folder),))
    child.start()
    child.join()
    return child.exitcode


def live_until(
    context: multiprocessing.context.ForkServerContext, folder: Path, moment: float
) -> bool:
    """Kill the engine ``moment`` seconds after it wrote something new, or began; False: it ended.

    Half of the moments count from the start, so that loading is met too.
    """
    file = folder / "completions.jsonl"
    size = file.stat().st_size if file.exists() else 0
    child = context.Process(target=one_life, args=(str(folder),))
    child.start()
    if moment < 0.5:
        while child.is_alive() and (not file.exists() or file.stat().st_size <= size):
            time.sleep(0.001)
        moment /= 10
    time.sleep(moment)
    killed = child.is_alive()
    child.kill()
    child.join()
    return killed


@pytest.mark.timeout(500)
def test_killed_at_random_moments_every_completion_exists_once(
    base: Path, talker: Path, new_run: NewRun
) -> None:
    asked = [
        {**row, "id": f"{row['id']}/{draw}", "seed": 1000 * draw + row["seed"]}
        for row in prompts(30, ("base", "v1.0"))
        for draw in range(3)
    ]
    job = SampleJob(
        model=Model(base=str(base)),
        adapters={"base": None, "v1.0": str(talker)},
        sampling=Sampling(max_new_tokens=60),
        batch_size=16,
    )
    context = lives()
    whole, part = (new_run(name, job, prompts=asked) for name in ("whole", "part"))
    assert live(context, whole) == 0
    chance = random.Random(0)
    grown = []
    for _ in range(KILLS_HERE):
        killed = live_until(context, part, chance.random())
        file = part / "completions.jsonl"
        grown.append(file.read_bytes().count(b"\n") if file.exists() else 0)
        if not killed:
            break
    assert len(grown) >= 3, "the job must be long enough to be killed many times"
    assert len(set(grown)) >= 2, "the kills must meet the writing"
    assert live(context, part) == 0
    rows = read_lines(part / "completions.jsonl")
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in asked)
    expected = {row["id"]: row["text"] for row in read_lines(whole / "completions.jsonl")}
    assert {row["id"]: row["text"] for row in rows} == expected
