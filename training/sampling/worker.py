"""A sampling job's work: prompts for the engine, its completions stored and paired as they come."""

from __future__ import annotations

import time
from typing import Any

from training.jobs.claims import beating
from training.jobs.engine_process import EngineEnding, Tail
from training.jobs.worker import EngineWorker, Stopping, never_stopping
from training.models import SamplingJob
from training.rewards import score_cache
from training.rewards.pairing import pair_up
from training.sampling import best_of, jobs

PAIR_EVERY_SECONDS = 20.0


class SamplingWorker(EngineWorker[SamplingJob]):
    """Has the engine write completions, stores them as they come, and pairs them."""

    model = SamplingJob
    knows_total = True
    _completions: Tail
    _paired_at: float

    def prepare(self) -> bool:
        with beating(self.held):
            if not jobs.prepare(job=self.job, run_dir=self.run_dir):
                return False
        self._completions = Tail(self.run_dir / "completions.jsonl")
        self._paired_at = time.monotonic()
        return True

    def read(self) -> dict[str, Any] | None:
        if not jobs.store(job=self.job, claim=self.held, lines=list(self._completions.read())):
            return None
        if time.monotonic() - self._paired_at > PAIR_EVERY_SECONDS:
            with beating(self.held, lease=self.run_dir / "lease"):
                pair_up(project=self.job.project)
            self._paired_at = time.monotonic()
        return {}

    def after_engine(self, ending: EngineEnding) -> EngineEnding:
        if ending.result is not None and any(policy.best_of for policy in self.job.policies.all()):
            ending = self._take_the_best(ending)
        pair_up(project=self.job.project)
        return ending

    def _take_the_best(self, ending: EngineEnding) -> EngineEnding:
        """Store the best answers of best-of-n policies; how the engine ended that scored them."""
        chosen, unfinished = best_of.choose(job=self.job, run_dir=self.run_dir, follow=self.follow)
        jobs.store(job=self.job, claim=self.held, lines=chosen)
        score_cache.keep(chosen)
        return unfinished or ending


def run_sampling(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Write the completions of a queued sampling job; record why, where that fails."""
    SamplingWorker.run(pk, stopping=stopping)
