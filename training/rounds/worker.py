"""A round's work: its snapshot for the engine, its metrics and checkpoints, its policy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from training.exports.model_card import write_published_card
from training.jobs.claims import beating
from training.jobs.engine_process import Tail
from training.jobs.worker import EngineWorker, Stopping, never_stopping
from training.models import Metric, Round
from training.rounds import lifecycle
from training.rounds.observer import Observer
from training.storage import checkpoints


class RoundWorker(EngineWorker[Round]):
    """Trains a round and adopts its policy."""

    model = Round
    _metrics: Tail
    _observer: Observer
    _kept: str | None

    @property
    def kind(self) -> str:
        return self.job.kind

    @property
    def engine_options(self) -> dict[str, Any]:
        return {
            "processes": self.job.recipe.get("processes", 1),
            "name": f"{self.job.project.slug} round {self.job.number}",
        }

    def prepare(self) -> bool:
        with beating(self.held):
            lifecycle.prepare(job=self.job, run_dir=self.run_dir)
        self._metrics = Tail(self.run_dir / "metrics.jsonl")
        self._observer = Observer(self.job, self.run_dir)
        self._kept = checkpoints.newest_checkpoint(self.run_dir)
        return True

    def read(self) -> dict[str, Any]:
        store_metrics(self.job, self._metrics.read())
        newest = checkpoints.newest_checkpoint(self.run_dir)
        if newest and newest != self._kept:
            with beating(self.held, lease=self.run_dir / "lease"):
                checkpoints.publish_checkpoint(self.run_dir, newest)
            self._kept = newest
        return self._observer.news(self.progress.total_steps)

    def adopt(self) -> None:
        with beating(self.held):
            if lifecycle.adopt(
                job=self.job, claim=self.held, run_dir=self.run_dir, result=self.result
            ):
                write_published_card(self.job)


def run_round(pk: int, *, stopping: Stopping = never_stopping) -> None:
    """Train a queued round and adopt its policy; record why, where that fails."""
    RoundWorker.run(pk, stopping=stopping)


def store_metrics(job: Round, lines: Iterable[dict[str, Any]]) -> None:
    """Store lines of ``metrics.jsonl``; a step that is told again replaces what was stored."""
    rows = [
        Metric(round=job, step=line["step"], name=f"{line['split']}/{name}", value=value)
        for line in lines
        for name, value in line["values"].items()
    ]
    if rows:
        Metric.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["round", "step", "name"],
            update_fields=["value"],
        )
