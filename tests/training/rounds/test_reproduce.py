"""A real round of the tiny model, run again by the command in a separate process."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from tests.factories import make_project
from tests.training.engine.conftest import base, make_pairs, read_json, run_engine  # noqa: F401
from training.engine.config import ADAPTER_WEIGHTS, job_from_dict, write_job
from training.engine.model.compare import differences
from training.jobs.claims import claim
from training.models import LoopSettings, Round
from training.rounds import lifecycle
from training.rounds import reproduce as reproducing
from training.rounds.worker import store_metrics
from training.storage import artifacts

pytestmark = pytest.mark.django_db
CONFIG = {
    "lora": {"r": 4},
    "optimisation": {"learning_rate": 5e-3, "batch_size": 8, "max_length": 64, "epochs": 2},
}


@pytest.fixture
def trained(base, tmp_path, settings, monkeypatch):  # noqa: F811
    """A round that has succeeded: everything a worker does, with the engine in this process."""
    monkeypatch.setenv("WHETSTONE_CODE_VERSION", reproducing.code_version())
    for kind in ("ADAPTERS_DIR", "RUNS_DIR", "REFERENCE_CACHE_DIR"):
        setattr(settings, kind, tmp_path / kind.lower())
    project = make_project("again", held_out_percent=20)
    LoopSettings.objects.create(project=project, base_model=str(base), round_config=CONFIG)
    lines = [
        {name: row[name] for name in ("prompt", "chosen", "rejected")} for row in make_pairs(24)
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    call_command("import_pairs", str(file), project="again", verbosity=0)
    made = lifecycle.start_round(project=project)
    _, held = claim(Round, made.pk)
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    write_job(job_from_dict(made.config), run_dir)
    lifecycle.prepare(job=made, run_dir=run_dir)
    assert run_engine("dpo", run_dir) == 0
    written = [json.loads(line) for line in (run_dir / "metrics.jsonl").open()]
    store_metrics(made, written)
    assert lifecycle.adopt(
        job=made, claim=held, run_dir=run_dir, result=read_json(run_dir / "result.json")
    )
    made.refresh_from_db()
    return made


def reproduce(name="again/1"):
    out = io.StringIO()
    call_command("reproduce", name, stdout=out)
    return out.getvalue()


@pytest.mark.slow
def test_a_round_is_reproduced_bit_for_bit_from_its_row(trained, settings):
    origin = trained.provenance
    assert origin["inputs"]["data"] == trained.snapshot.sha256
    assert origin["inputs"]["start_adapter"] is None
    assert (origin["seed"], origin["threads"], origin["hardware"]["device"]) == (1, 1, "cpu")
    assert origin["libraries"].keys() >= {"python", "torch", "transformers", "peft"}
    folder = artifacts.local_adapter(trained.policy.adapter_path)
    assert read_json(folder / "provenance.json") == origin
    assert "provenance" not in trained.result

    report = reproduce()
    assert "The adapter is equal, bit for bit" in report
    assert "numbers that were measured on the way are equal" in report
    assert list(settings.RUNS_DIR.iterdir()) == []  # the files made for the comparison are gone

    # The engine refuses changed inputs before it trains.
    trained.provenance["inputs"]["base"] = "0" * 64
    trained.save()
    with pytest.raises(CommandError, match="base model's weights are not what they were"):
        reproduce()


def test_what_cannot_be_run_again_is_refused_in_words(trained, tmp_path):
    for name, message in [("nowhere/1", "There is no round"), ("again/x", "is no round")]:
        with pytest.raises(CommandError, match=message):
            reproduce(name)
    trained.snapshot.file.write_bytes(b"other pairs")
    with pytest.raises(CommandError, match="absent or damaged"):
        reproduce(str(trained.pk))


def test_how_two_adapters_differ_is_told_by_tensor(trained, tmp_path):
    from safetensors.torch import load_file, save_file

    adapter = artifacts.local_adapter(trained.policy.adapter_path)
    tensors = load_file(adapter / ADAPTER_WEIGHTS)
    name = sorted(tensors)[0]
    tensors[name] = tensors[name] + 0.25
    other = tmp_path / "other"
    other.mkdir()
    save_file(tensors, other / ADAPTER_WEIGHTS)
    assert differences(adapter, adapter) == {"tensors": len(tensors), "different": []}
    difference = differences(adapter, other)
    assert [row["name"] for row in difference["different"]] == [name]
    assert difference["different"][0]["most"] == pytest.approx(0.25, abs=1e-6)


ORIGIN = {
    "code": "abc",
    "libraries": {"torch": "2.0", "python": "3.11"},
    "hardware": {"device": "cpu", "cpu": "One", "platform": "a"},
    "threads": 1,
    "processes": 1,
}


@pytest.mark.parametrize(
    ("again", "warning"),
    [
        (ORIGIN, None),
        ({**ORIGIN, "threads": 2}, "Threads: 1 before, 2 now."),
        ({**ORIGIN, "libraries": {"torch": "2.1", "python": "3.11"}}, "torch was 2.0 and is 2.1."),
        (
            {**ORIGIN, "hardware": {"device": "cpu", "cpu": "Two", "platform": "b"}},
            "cpu was One and is Two.",
        ),
    ],
)
def test_what_differs_around_a_run_is_said(again, warning):
    assert reproducing.warnings_after(ORIGIN, again) == ([warning] if warning else [])


def test_a_difference_is_told_in_lines():
    comparison = reproducing.Repetition(
        adapter="a",
        adapter_again="b",
        tensors=4,
        different=[{"name": "lora_A", "most": 0.5}, {"name": "lora_B", "most": None}],
        metrics=10,
        metrics_different=[(3, "train/loss", 0.5, 0.25)],
        warnings=["Threads: 1 before, 2 now."],
    )
    assert not comparison.is_equal
    assert list(reproducing.lines(comparison)) == [
        "Note: Threads: 1 before, 2 now.",
        "The adapter differs: 2 of 4 tensors.",
        "  lora_A: by up to 0.5",
        "  lora_B: another shape or number format",
        "1 of 10 numbers differ, the first of them:",
        "  train/loss at step 3: 0.5 before, 0.25 now",
    ]
