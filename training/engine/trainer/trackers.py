"""The run's metrics told to others: TensorBoard's files always, W&B or MLflow if asked.

``metrics.jsonl`` stays the truth. Nobody here can hold up or fail a run: trackers are spoken to
by a thread of their own, and one that raises is left out from then on, with a line in the log.
From the environment comes where to tell, never what: WHETSTONE_TRACKERS ("wandb", "mlflow"),
WHETSTONE_TRACKING_PROJECT, WHETSTONE_RUN_NAME, and whatever those libraries read themselves.
Knows nothing of training.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import os
import queue
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from training.engine.config import EngineJob, flat, job_to_dict
from training.engine.runtime.run_dir import RunDir

FOLDER = "tensorboard"
NAMES = ("wandb", "mlflow")
PACKAGES = {"wandb": "wandb", "mlflow": "mlflow or mlflow-skinny"}
PATIENCE_SECONDS = 20.0  # at the end, for a tracker that is slow to take its last lines
WAITING = 10_000  # lines that wait for a tracker at most; newer ones are dropped
MetricsLine = Mapping[str, Any]
log = logging.getLogger("engine")


class Tracker(Protocol):
    """Told of metrics as they come. Every call may raise; it is called from one thread alone."""

    def begin(self) -> None: ...

    def tell(self, line: MetricsLine) -> None:
        """A line of ``metrics.jsonl``."""
        ...

    def end(self, *, succeeded: bool) -> None: ...


class EventFiles:
    """``tensorboard/train`` and its siblings: one chart shows a metric of all splits.

    A run that goes on begins its files again, from the metrics recorded so far, so that no step
    comes twice.
    """

    def __init__(self, run: RunDir) -> None:
        from tensorboardX import SummaryWriter  # type: ignore[import-untyped]

        self._make = SummaryWriter
        self._folder = run.path / FOLDER
        self._writers: dict[str, Any] = {}
        for old in self._folder.glob("*/events.out.tfevents.*"):
            old.unlink()
        self._written: set[tuple[int, str]] = set()
        for line in run.recorded():
            self.tell(line)

    def tell(self, line: MetricsLine) -> None:
        key = (line["step"], line["split"])
        if key in self._written:
            return  # a step that is taken again has the same values
        self._written.add(key)
        writer = self._writers.get(line["split"])
        if writer is None:
            # Step 0 is purged: a TensorBoard that has read the earlier files forgets them.
            writer = self._make(
                str(self._folder / line["split"]), purge_step=0, flush_secs=2, write_to_disk=True
            )
            self._writers[line["split"]] = writer
        for name, value in line["values"].items():
            writer.add_scalar(name, value, line["step"], walltime=line["time"])

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


class Wandb:
    """Weights & Biases; the run's id is kept in the run directory, so a resumed run is one run."""

    def __init__(self, run: RunDir, job: EngineJob) -> None:
        self._path, self._job = run.path, job

    def begin(self) -> None:
        import wandb  # type: ignore[import-not-found, unused-ignore]

        self._run = wandb.init(
            project=_project(),
            name=_run_name(self._path),
            id=_kept_id(self._path / "wandb-id"),
            resume="allow",
            dir=str(self._path),
            config=flat(job_to_dict(self._job)),
            settings=wandb.Settings(console="off"),
        )
        # Held-out figures come after the step's own: each has its step as a figure of its own.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def tell(self, line: MetricsLine) -> None:
        values = {f"{line['split']}/{name}": value for name, value in line["values"].items()}
        self._run.log({"step": line["step"], **values})

    def end(self, *, succeeded: bool) -> None:
        self._run.finish(exit_code=0 if succeeded else 1)


class Mlflow:
    """MLflow's tracking server or store, wherever MLFLOW_TRACKING_URI says."""

    def __init__(self, run: RunDir, job: EngineJob) -> None:
        self._path, self._job = run.path, job

    def begin(self) -> None:
        from mlflow.tracking import (  # type: ignore[import-not-found, unused-ignore]
            MlflowClient,
        )

        self._client = MlflowClient()
        id_file = self._path / "mlflow-id"
        if id_file.exists():
            self._id = id_file.read_text(encoding="utf-8").strip()
            self._client.update_run(self._id, status="RUNNING")
            return
        name = _project()
        experiment_found = self._client.get_experiment_by_name(name)
        experiment = (
            experiment_found.experiment_id
            if experiment_found
            else self._client.create_experiment(name)
        )
        made = self._client.create_run(experiment, run_name=_run_name(self._path))
        self._id = made.info.run_id
        id_file.write_text(self._id + "\n", encoding="utf-8")
        for key, value in flat(job_to_dict(self._job)).items():
            self._client.log_param(self._id, key, str(value)[:500])

    def tell(self, line: MetricsLine) -> None:
        from mlflow.entities import Metric  # type: ignore[import-not-found, unused-ignore]

        at = int(1000 * line["time"])
        metrics = [
            Metric(f"{line['split']}/{name}", value, at, line["step"])
            for name, value in line["values"].items()
        ]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, *, succeeded: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if succeeded else "KILLED")


@dataclasses.dataclass
class _Worker:
    """One tracker and the thread that speaks to it."""

    name: str
    tracker: Tracker
    lines: queue.Queue[MetricsLine | None] = dataclasses.field(
        default_factory=lambda: queue.Queue(WAITING)
    )
    succeeded: bool = False
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._work, name=f"tracker {self.name}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            self.tracker.begin()
            while (line := self.lines.get()) is not None:
                self.tracker.tell(line)
            self.tracker.end(succeeded=self.succeeded)
        except BaseException as error:  # some libraries end the process by SystemExit
            log.warning(
                "%s is not told any more: %s: %s", self.name, type(error).__name__, str(error)[:300]
            )
            self.tracker = _Deaf()

    def tell(self, line: MetricsLine) -> None:
        if not isinstance(self.tracker, _Deaf):
            try:
                self.lines.put_nowait(line)
            except queue.Full:
                log.warning("%s does not keep up: a line of metrics is dropped", self.name)

    def end(self, *, succeeded: bool) -> None:
        self.succeeded = succeeded
        try:
            self.lines.put_nowait(None)
        except queue.Full:
            return
        if self.thread is not None:
            self.thread.join(PATIENCE_SECONDS)
            if self.thread.is_alive():
                log.warning("%s has not taken all metrics; it is not waited for", self.name)


class _Deaf:
    """A tracker that gave up."""

    def begin(self) -> None: ...

    def tell(self, line: MetricsLine) -> None: ...

    def end(self, *, succeeded: bool) -> None: ...


class Tracking:
    """Everybody who is told of a run's metrics, from here to ``close``."""

    def __init__(
        self,
        run: RunDir,
        job: EngineJob,
        *,
        makers: Mapping[str, Callable[[], Tracker]] | None = None,
    ) -> None:
        self._files: EventFiles | None = None
        self._workers: list[_Worker] = []
        if not run.writes:
            return
        # A run that goes on from its checkpoint writes some lines again; they were told already.
        self._told = {(line["step"], line["split"]) for line in run.recorded()}
        try:
            self._files = EventFiles(run)
        except Exception as error:
            self._drop_files(error)
        run.listeners.append(self._tell)
        for name, make in (makers if makers is not None else wished(run, job)).items():
            worker = _Worker(name, make())
            self._workers.append(worker)
            worker.start()

    def close(self, *, succeeded: bool) -> None:
        if self._files is not None:
            try:
                self._files.close()
            except Exception as error:
                self._drop_files(error)
        for worker in self._workers:
            worker.end(succeeded=succeeded)

    def _tell(self, line: MetricsLine) -> None:
        if self._files is not None:
            try:
                self._files.tell(line)
            except Exception as error:
                self._drop_files(error)
        if (line["step"], line["split"]) not in self._told:
            for worker in self._workers:
                worker.tell(line)

    def _drop_files(self, error: Exception) -> None:
        log.warning("no files for TensorBoard: %s: %s", type(error).__name__, error)
        self._files = None


def wished(run: RunDir, job: EngineJob) -> dict[str, Callable[[], Tracker]]:
    """The trackers that WHETSTONE_TRACKERS names; what is not known or not there is told."""
    makers: dict[str, Callable[[], Tracker]] = {}
    for name in filter(
        None, (n.strip() for n in os.environ.get("WHETSTONE_TRACKERS", "").split(","))
    ):
        if name not in NAMES:
            log.error("WHETSTONE_TRACKERS: %r is none of %s", name, ", ".join(NAMES))
        elif importlib.util.find_spec(name) is None:
            log.error(
                "WHETSTONE_TRACKERS names %s, which is not installed (pip install %s); this run is "
                "not told there",
                name,
                PACKAGES[name],
            )
        else:
            maker: Callable[[RunDir, EngineJob], Tracker] = Wandb if name == "wandb" else Mlflow
            makers[name] = lambda maker=maker: maker(run, job)  # type: ignore[misc]
    return makers


def _project() -> str:
    return os.environ.get("WHETSTONE_TRACKING_PROJECT") or "whetstone"


def _run_name(path: Path) -> str:
    return os.environ.get("WHETSTONE_RUN_NAME") or path.name


def _kept_id(path: Path) -> str:
    """The same id for every attempt of a run."""
    if not path.exists():
        path.write_text(uuid.uuid4().hex + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()
