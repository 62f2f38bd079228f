"""A merge's work: the adapter merged into its base by the engine, with a card beside the result."""

from __future__ import annotations

from training.exports import merge
from training.exports.model_card import write_card
from training.jobs.claims import beating
from training.jobs.worker import EngineWorker, Stopping, never_stopping
from training.models import Job, Merge
from training.storage import artifacts


class MergeWorker(EngineWorker[Merge]):
    """Has the engine merge an adapter into its base."""

    model = Merge

    def adopt(self) -> None:
        with beating(self.held):
            artifacts.publish_made(self.run_dir, merge.FOLDER)
            write_card(self.job.round, self.run_dir / merge.FOLDER, what="merged")
        self.held.end(Job.State.SUCCEEDED, result=self.result, error="")


def run_merge(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Merge an adapter into its base; record why, where that fails."""
    MergeWorker.run(pk, stopping=stopping)
