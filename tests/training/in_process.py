"""The real engine in the test's own process: quick, for tests that need no separate one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from training.engine.__main__ import run_job
from training.jobs.engine_process import EngineEnding, EngineProgress, Instruction, read_progress


def run_engine(
    *, kind: str, run_dir: Path, follow: Callable[[EngineProgress], Instruction], **_: object
) -> EngineEnding:
    """Like ``training.jobs.engine_process.run_engine``, but in this process.

    What a separate process would be given, such as its attempt, is ignored.
    """
    status = 0 if (run_dir / "result.json").exists() else run_job(kind, run_dir)
    follow(read_progress(run_dir))
    outcome = {
        name: json.loads((run_dir / f"{name}.json").read_text(encoding="utf-8"))
        if (run_dir / f"{name}.json").exists()
        else None
        for name in ("result", "error")
    }
    return EngineEnding(status, outcome["result"], outcome["error"])
