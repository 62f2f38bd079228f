"""Workers with separate folders: one continues another's work through the storage."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.utils import timezone

from config.storage import backend
from tests.conftest import ROOT, child_environment, wait_for
from tests.factories import make_project
from training.demo import MODEL_DIR
from training.engine.config import ADAPTER_WEIGHTS
from training.exports import merge as merging
from training.jobs import claims
from training.models import LoopSettings, Round
from training.rounds import lifecycle
from training.storage import artifacts

pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]
WORK = "import sys, django; django.setup(); from training.%s import worker; worker.%s(%d)"


@pytest.fixture
def shared(tmp_path, settings):
    """A storage that is neither machine's folder, nor the web server's."""
    where = tmp_path / "shared"
    settings.STORAGES = {**settings.STORAGES, "artifacts": backend(str(where))}
    for kind in ("ADAPTERS_DIR", "SNAPSHOTS_DIR", "RUNS_DIR"):
        setattr(settings, kind, tmp_path / "web" / kind.partition("_")[0].lower())
    storages.__dict__.pop("backends", None)
    return where


def worker(home: Path, shared: Path, pk: int, work: str = "run_round") -> subprocess.Popen:
    """What a gpu worker does with a message on a machine with the data folder ``home``."""
    room = {"run_round": "rounds", "run_merge": "exports"}[work]
    env = child_environment(
        WHETSTONE_HOME=str(home), WHETSTONE_STORAGE=str(shared), WHETSTONE_THREADS="1"
    )
    with (home.parent / f"{home.name}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", WORK % (room, work, pk)],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=log,
        )


def test_a_round_goes_on_where_another_machine_was_when_it_died(shared, tmp_path):
    project = make_project("far", held_out_percent=0)
    LoopSettings.objects.create(
        project=project,
        base_model=str(MODEL_DIR),
        queue_level=1,
        round_config={
            "lora": {"r": 4},
            "optimisation": {"batch_size": 2, "epochs": 12, "checkpoint_fraction": 0.05},
        },
    )
    pairs = [
        {"prompt": f"What is {n} + 2?", "chosen": f"{n + 2}.", "rejected": "I do not care."}
        for n in range(8)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    call_command("import_pairs", str(file), project="far", verbosity=0)
    made = lifecycle.start_round(project=project)

    first = worker(tmp_path / "one", shared, made.pk)
    wait_for(
        lambda: list(shared.glob("runs/*/checkpoint-*/manifest.json")) or first.poll() is not None,
        "a checkpoint in the storage",
        seconds=240,
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    made.refresh_from_db()
    assert made.state == "running", (tmp_path / "one.log").read_text()
    claims.sweep_dead(Round, now=timezone.now() + timedelta(hours=1))

    second = worker(tmp_path / "two", shared, made.pk)
    assert second.wait(240) == 0, (tmp_path / "two.log").read_text()
    made.refresh_from_db()
    assert (made.state, made.attempt) == ("succeeded", 2), made.log_tail
    (log,) = (tmp_path / "two" / "runs").glob("*/engine.log")
    assert "going on from checkpoint-" in log.read_text()

    # The web server has neither machine's folders, but it does have the adapter.
    assert Path(made.policy.adapter_path).is_relative_to(tmp_path / "two")
    adapter = artifacts.local_adapter(made.policy.adapter_path)
    assert adapter.is_relative_to(tmp_path / "web")
    assert artifacts._sha256(adapter / ADAPTER_WEIGHTS) == made.result["adapter_sha256"]
    # The unfinished run's checkpoints are no longer needed, and are gone.
    assert not [path for path in (shared / "runs").rglob("*") if path.is_file()]

    # The first machine merges what the second has trained; the web server gets that, too.
    merge = merging.start_merge(round_=made)
    third = worker(tmp_path / "one", shared, merge.pk, "run_merge")
    assert third.wait(240) == 0, (tmp_path / "one.log").read_text()
    merge.refresh_from_db()
    assert merge.state == "succeeded", merge.log_tail
    assert Path(merge.run_dir).is_relative_to(tmp_path / "one")
    merged = artifacts.local_made(merge.run, merging.FOLDER)
    assert merged.is_relative_to(tmp_path / "web")
    weights = "model.safetensors"
    assert artifacts._sha256(merged / weights) == merge.result["files"][weights]
    merging.remove_merged(round_=made)
    assert not list(shared.rglob(weights))
