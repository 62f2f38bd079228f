"""Engine and worker are killed at random moments: each completion is stored exactly once."""

import json
import random
from pathlib import Path

import pytest

from annotate.models import Completion
from tests.conftest import ROOT, THOROUGH
from tests.factories import make_project, make_prompt
from tests.training.engine.lives import live, live_until
from training.engine.config import job_from_dict, write_job
from training.jobs.claims import claim
from training.jobs.engine_process import Tail
from training.models import LoopSettings, SamplingJob
from training.sampling import jobs as sampling_jobs

KILLS = 30 if THOROUGH else 12
DEMO_MODEL = ROOT / "training" / "demo" / "model"


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.django_db
def test_killed_at_random_moments_every_completion_is_stored_once(tmp_path: Path) -> None:
    project = make_project()
    LoopSettings.objects.create(
        project=project,
        base_model=str(DEMO_MODEL),
        completions_per_prompt=4,
        max_new_tokens=40,
        temperature=0.9,
    )
    for _ in range(10 * KILLS // 3):
        make_prompt(project)
    (job,) = sampling_jobs.start_sampling(project=project)
    sampling_jobs.prepare(job=job, run_dir=tmp_path)
    write_job(job_from_dict({**job.config, "batch_size": 16}), tmp_path)
    asked = [json.loads(line) for line in (tmp_path / "prompts.jsonl").open()]
    chance = random.Random(1)
    stored = []
    for number in range(KILLS + 1):
        # A worker that died left the row; the next one claims it and reads from the start.
        SamplingJob.objects.filter(pk=job.pk).update(state="queued", attempt=0)
        claimed = claim(SamplingJob, job.pk)
        assert claimed is not None
        _, held = claimed
        tail = Tail(tmp_path / "completions.jsonl")
        if number < KILLS:
            live_until(tmp_path, chance.random())
        else:
            assert live(tmp_path) == 0
        lines = list(tail.read())
        if number < KILLS:  # the worker dies too, after some of what it read
            lines = lines[: chance.randrange(len(lines) + 1)]
        for start in range(0, len(lines), 7):
            assert sampling_jobs.store(job=job, claim=held, lines=lines[start : start + 7])
        stored.append(Completion.objects.count())
    assert len(set(stored)) >= KILLS // 4
    job.refresh_from_db()
    assert job.stored == Completion.objects.count() == len(asked)
    rows = Completion.objects.values_list("prompt_id", "policy_id", "seed")
    assert sorted(f"{a}:{b}:{c}" for a, b, c in rows) == sorted(request["id"] for request in asked)
