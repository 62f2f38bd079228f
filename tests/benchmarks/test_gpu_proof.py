"""The GPU proof, as far as a machine without a GPU can run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_proof.__main__ import PARTS, choose, last_line
from benchmarks.gpu_proof.runner import (
    Figures,
    Missing,
    Part,
    PartError,
    Report,
    Setting,
    in_process,
    run_part,
)

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


def proof(
    out: Path, *options: str
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """Run the script in its own process; returns its output and its parts' verdicts."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_proof", "--out", str(out), *options],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    rows = [json.loads(line) for line in (out / "parts.jsonl").read_text().splitlines()]
    return done, rows


def test_without_a_card_it_says_so_and_checks_cudas_path_with_fake_tensors(tmp_path: Path) -> None:
    """Every architecture, with dropout and recomputed activations: the kernel is called."""
    done, rows = proof(tmp_path, "--parts", "fake,interpreter")
    assert done.returncode == 0, done.stdout
    assert "No CUDA card here" in done.stdout.splitlines()[0]
    assert {row["part"]: row["verdict"] for row in rows} == {"fake": "ok", "interpreter": "ok"}
    assert rows[0]["figures"]["checked"] == 16
    assert rows[0]["figures"]["estimate_over_kept"] >= 1
    assert rows[0]["figures"]["estimate_over_kept_at_most"] < 1.3
    assert json.loads(done.stdout.splitlines()[-1])["failures"] == []


def test_the_parts_for_a_card_run_on_a_cpu_too_in_small(tmp_path: Path) -> None:
    done, rows = proof(tmp_path, "--rehearse", "--parts", "attention,generate")
    assert done.returncode == 0, done.stdout
    assert [row["verdict"] for row in rows] == ["ok"] * 2
    line = json.loads(done.stdout.splitlines()[-1])
    assert 0 < line["logp_max_diff"] < 1e-3
    assert line["sample_vs_generate"] > 0


def test_what_is_asked_for_is_run_in_order() -> None:
    names = [part.name for part in choose("speed,imports", has_card=True, rehearses=False)]
    assert names == ["imports", "train_06b", "train_8b", "generate"]
    alone = choose("", has_card=False, rehearses=False)
    assert {part.group for part in alone} == {"no_card"}
    with_card = choose("", has_card=True, rehearses=False)
    assert {part.group for part in with_card} == {"small", "correct", "speed"}
    assert [part.group for part in with_card[:3]] == ["small"] * 3
    assert len({part.name for part in PARTS}) == len(PARTS)


def _breaks(_: Setting) -> Figures:
    raise PartError("one\ntwo")


def _lacks(_: Setting) -> Figures:
    raise Missing("TRL is not installed")


def _hangs(setting: Setting) -> Figures:
    in_process(setting, time.sleep, 60)
    return {}


def _dies(setting: Setting) -> Figures:
    in_process(setting, os._exit, 3)
    return {}


def _works(setting: Setting) -> Figures:
    return {"sum": in_process(setting, sum, [1, 2])}


@pytest.mark.parametrize(
    ("run", "verdict", "message"),
    [
        (_works, "ok", ""),
        (_breaks, "FAILED", "two"),
        (_lacks, "missing", "TRL is not installed"),
        (_hangs, "FAILED", "longer than its time"),
        (_dies, "FAILED", "without a word"),
    ],
)
def test_a_part_is_judged_and_the_next_one_runs(
    run: Any, verdict: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(tmp_path)
    setting = Setting(out=tmp_path, work=tmp_path, data=None)
    seconds = 3 if run is _hangs else 60
    run_part(Part("it", "small", seconds, run), setting, report, 600)
    run_part(Part("next", "small", 60, _works), setting, report, 600)
    assert report.rows[0]["verdict"] == verdict
    assert message in report.rows[0]["words"]
    assert report.rows[1]["figures"] == {"sum": 3}
    assert len((tmp_path / "parts.jsonl").read_text().splitlines()) == 2
    assert verdict in capsys.readouterr().out
    assert last_line(report)["failures"] == (["it"] if verdict == "FAILED" else [])


def test_what_forks_inherit_was_loaded_without_asking_for_a_card() -> None:
    """Forks of a process that queried CUDA cannot use a GPU; importing bitsandbytes queries it."""
    code = (
        "import torch\n"
        "asked = []\n"
        "for name in ('is_available', 'device_count', '_lazy_init'):\n"
        "    setattr(torch.cuda, name, lambda *_, name=name: asked.append(name) or 0)\n"
        "import benchmarks.gpu_proof.preload\n"
        "import sys\n"
        "assert 'peft' in sys.modules\n"
        "assert not asked, asked\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
