"""Early stopping: which evaluation was the best so far, and when enough have been worse.

What is known comes from ``metrics.jsonl``, so a run that goes on from a checkpoint knows what it
knew there, and no more. The best adapter is a folder ``best-<step>`` in the run directory, in
place before its line of metrics is. Knows nothing of optimizers.
"""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.engine.model.adapters import save_adapter
from training.engine.runtime.checkpoint import kept_steps
from training.engine.runtime.run_dir import RunDir, drop_torn_line, publish_folder

log = logging.getLogger("engine")


def score_of(values: Mapping[str, float]) -> float:
    """What is watched, higher is better: the held-out margin, or the loss where there is none."""
    score = values["reward_margin"] if "reward_margin" in values else -values.get("loss", math.inf)
    return score if math.isfinite(score) else -math.inf


def best_of(history: Mapping[int, float]) -> tuple[int | None, int]:
    """The step of the highest score (of equals the first), and how many came after it.

    ``history`` maps steps to scores. Step 0 has nothing to show for it and is no candidate.
    """
    steps = sorted(step for step in history if step > 0)
    if not steps:
        return None, 0
    best = max(steps, key=lambda step: (history[step], -step))
    return best, sum(step > best for step in steps)


class EarlyStopping:
    """Watches a run's evaluations. ``patience`` 0 watches nothing."""

    def __init__(self, run: RunDir, patience: int) -> None:
        self.run, self.patience = run, patience
        self.history: dict[int, float] = {}

    def recall(self, step: int) -> None:
        """Know what a run at ``step`` knew."""
        self.history = {s: score_of(v) for s, v in self._recorded().items() if s <= step}

    @property
    def best(self) -> int | None:
        return best_of(self.history)[0] if self.patience else None

    @property
    def is_spent(self) -> bool:
        return bool(self.patience) and best_of(self.history)[1] >= self.patience

    def look(self, step: int, values: Mapping[str, float], model: Any) -> None:
        """An evaluation whose metrics are not written yet: keep the adapter if it is the best."""
        if not self.patience:
            return
        self.history[step] = score_of(values)
        if self.best != step or not self.run.writes:
            return
        folder = self.folder(step)
        temporary = folder.with_name(f".{folder.name}.tmp")
        for leftover in (temporary, folder):
            shutil.rmtree(leftover, ignore_errors=True)
        save_adapter(model, temporary)
        publish_folder(temporary, folder)

    def forget(self) -> None:
        """Remove adapters that no checkpoint could come back to as its best."""
        steps = kept_steps(self.run.path)
        if not self.patience or not steps or not self.run.writes:
            return
        oldest, _ = best_of({s: score for s, score in self.history.items() if s <= min(steps)})
        for path in self.run.path.glob("best-*"):
            match = re.fullmatch(r"best-(\d+)", path.name)
            if match and oldest is not None and int(match[1]) < oldest:
                shutil.rmtree(path, ignore_errors=True)

    def folder(self, step: int) -> Path:
        return self.run.path / f"best-{step}"

    def values_at(self, step: int) -> dict[str, float]:
        """The held-out metrics that were written at ``step``."""
        return self._recorded().get(step, {})

    def _recorded(self) -> dict[int, dict[str, float]]:
        path = self.run.path / "metrics.jsonl"
        if not path.exists():
            return {}
        if self.run.writes:
            drop_torn_line(path)
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file if line.endswith("\n")]
        return {row["step"]: row["values"] for row in rows if row["split"] == "held_out"}
