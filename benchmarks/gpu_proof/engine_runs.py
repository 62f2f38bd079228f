"""Run directories for the engine's own commands, and what they leave."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof.runner import Setting, in_process
from training.engine.config import EngineJob, write_job

Rows = list[dict[str, Any]]


def new_run(setting: Setting, name: str, job: EngineJob, **files: Rows) -> Path:
    """A run directory with ``job`` and, by file name, rows of data."""
    folder = setting.work / name
    folder.mkdir(parents=True)
    write_job(job, folder)
    for stem, rows in files.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{stem}.jsonl").write_text(text, encoding="utf-8")
    return folder


def pairs_file(pairs: Rows, held_out: int = 0) -> Rows:
    """Pairs with ids; the last ``held_out`` are not trained on."""
    border = len(pairs) - held_out
    return [
        {"id": f"p{i}", "split": "train" if i < border else "held_out", **pair}
        for i, pair in enumerate(pairs)
    ]


def run(setting: Setting, kind: str, folder: Path, expected: int = 0, **environment: str) -> None:
    """The engine's command in a process of its own; raises PartError unless it ends as expected."""
    in_process(setting, command, kind, str(folder), expected, **environment)


def command(kind: str, folder: str, expected: int) -> None:
    """In the child: ``python -m training.engine kind folder``."""
    from training.engine.__main__ import main

    status = main([kind, folder])
    error = Path(folder) / "error.json"
    if status != expected:
        message = error.read_text(encoding="utf-8") if error.exists() else ""
        raise RuntimeError(f"{kind} ended with {status}, not {expected}: {message}")


def stopped_at(kind: str, folder: str, step: int) -> None:
    """In the child: the same, asked to stop (SIGTERM) once ``step`` is in the metrics."""
    metrics = Path(folder) / "metrics.jsonl"

    def watch() -> None:
        while not any(row["split"] == "train" and row["step"] >= step for row in _so_far(metrics)):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    command(kind, folder, 75)


def lines(path: Path) -> Rows:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _so_far(path: Path) -> Rows:
    """As ``lines``, of a file that is being written."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def result(folder: Path) -> dict[str, Any]:
    """``result.json`` of a run."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


def losses(folder: Path, split: str = "train") -> list[float]:
    """The loss of every step."""
    rows = lines(folder / "metrics.jsonl")
    return [row["values"]["loss"] for row in rows if row["split"] == split]
