"""Jobs are checked when they are read, and an error names its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.engine.config import (
    ConfigError,
    DpoJob,
    Model,
    SampleJob,
    ScoreJob,
    SftJob,
    job_from_dict,
    job_to_dict,
    read_job,
    write_job,
)

MODEL = Model(base="some/model")
DPO = job_to_dict(DpoJob(model=MODEL))


@pytest.mark.parametrize(
    "job",
    [
        DpoJob(model=MODEL, loss="ipo", start_adapter="a"),
        SftJob(model=MODEL, seed=4),
        SampleJob(model=MODEL, adapters={"base": None, "new": "path"}),
        ScoreJob(model=MODEL, adapters={"base": None}),
    ],
)
def test_a_job_comes_back_as_it_was_written(job: Any, tmp_path: Path) -> None:
    write_job(job, tmp_path)
    assert read_job(tmp_path) == job


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "train"}, "kind: 'train'"),
        ({"bta": 0.1}, "bta: no such field"),
        ({"beta": "0.1"}, "beta: expected float"),
        ({"beta": 0}, "beta: must be above 0"),
        ({"seed": True}, "seed: expected int"),
        ({"model": {}}, "model.base: missing"),
        ({"loss": "exotic"}, "loss: 'exotic' is none of sigmoid"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "label_smoothing: must be 0 for the loss 'ipo'"),
        ({"lora": {"r": 0}}, "lora.r: must be at least 1"),
        ({"optimisation": {"eval_fraction": 0}}, "optimisation.eval_fraction: must be above 0"),
    ],
)
def test_a_wrong_job_names_its_field(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"^{complaint}"):
        job_from_dict({**DPO, **change})


def test_the_web_process_can_read_jobs_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, training.engine.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
