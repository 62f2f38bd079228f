"""A scoring job's work: completions for the engine, their rewards stored as they come."""

from __future__ import annotations

from typing import Any

from training.jobs.engine_process import Tail
from training.jobs.worker import EngineWorker, Stopping, never_stopping
from training.models import ScoringJob
from training.rewards import scoring
from training.rewards.pairing import pair_up


class ScoringWorker(EngineWorker[ScoringJob]):
    """Has the engine score completions, stores their rewards as they come, and pairs them."""

    model = ScoringJob
    knows_total = True
    _scores: Tail

    def work(self) -> None:
        super().work()
        pair_up(project=self.job.project)  # after a failure, too: then nothing waits for a reward

    def prepare(self) -> bool:
        self._scores = Tail(self.run_dir / "scores.jsonl")
        return scoring.prepare(job=self.job, run_dir=self.run_dir)

    def read(self) -> dict[str, Any] | None:
        stored = scoring.store(job=self.job, claim=self.held, lines=list(self._scores.read()))
        return {} if stored else None


def run_scoring(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Give completions their rewards; record why, where that fails."""
    ScoringWorker.run(pk, stopping=stopping)
