"""Where a run's metrics go: always to TensorBoard files, and to trackers, which may fail."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from training.engine.config import DpoJob, Model
from training.engine.runtime.run_dir import RunDir
from training.engine.trainer import trackers
from training.engine.trainer.trackers import Tracking

event_pb2 = pytest.importorskip(
    "tensorboardX.proto.event_pb2", reason="tensorboardX is not installed"
)

JOB = DpoJob(model=Model(base="some/model"))


def events(folder: Path, split: str) -> list[tuple[int, str, float]]:
    """(step, name, value) of every event of a split, in TFRecord's framing."""
    scalars = []
    for path in sorted((folder / "tensorboard" / split).iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
            at += 12 + size + 4
            scalars += [(event.step, v.tag, round(v.simple_value, 4)) for v in event.summary.value]
    return scalars


class Patient:
    """A tracker that records what it is sent."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.succeeded: bool | None = None

    def begin(self) -> None: ...

    def tell(self, line: Any) -> None:
        self.heard.append((line["step"], line["split"]))

    def end(self, *, succeeded: bool) -> None:
        self.succeeded = succeeded


class Broken(Patient):
    def tell(self, line: Any) -> None:
        raise ConnectionError("no such host")


class Rude(Patient):
    def begin(self) -> None:
        raise SystemExit(1)


class Hanging(Patient):
    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def begin(self) -> None:
        self.let_go.wait(120)


def test_event_files_have_every_step_once_though_the_run_was_interrupted(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    first = Tracking(run, JOB, makers={})
    for step in (1, 2, 3):
        run.metrics(step, 4, "train", {"loss": 0.7 - step / 10})
    run.metrics(2, 4, "held_out", {"loss": 0.65})
    first.close(succeeded=False)  # like a killed run, except for the last second
    run.close()

    again = RunDir(tmp_path)  # goes on from the checkpoint of step 2
    second = Tracking(again, JOB, makers={})
    for step in (3, 4):
        again.metrics(step, 4, "train", {"loss": 0.7 - step / 10})
    second.close(succeeded=True)
    again.close()
    assert events(tmp_path, "train") == [
        (step, "loss", round(0.7 - step / 10, 4)) for step in (1, 2, 3, 4)
    ]
    assert events(tmp_path, "held_out") == [(2, "loss", 0.65)]


def test_trackers_hear_each_line_once_and_how_it_ended(tmp_path: Path) -> None:
    heard = []
    for steps in ((1, 2), (2, 3)):
        run, listener = RunDir(tmp_path), Patient()
        tracking = Tracking(run, JOB, makers={"patient": lambda tracker=listener: tracker})  # type: ignore[misc]
        for step in steps:
            run.metrics(step, 3, "train", {"loss": 0.5})
        tracking.close(succeeded=3 in steps)
        run.close()
        heard.append((listener.heard, listener.succeeded))
    assert heard == [([(1, "train"), (2, "train")], False), ([(3, "train")], True)]


@pytest.mark.parametrize("kind", [Broken, Rude])
def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(
    tmp_path: Path, kind: type[Patient], caplog: pytest.LogCaptureFixture
) -> None:
    run, patient = RunDir(tmp_path), Patient()
    tracking = Tracking(run, JOB, makers={"bad": kind, "good": lambda: patient})
    for step in (1, 2):
        run.metrics(step, 2, "train", {"loss": 0.5})
    tracking.close(succeeded=True)
    run.close()
    assert len(patient.heard) == 2
    assert "bad is not told any more" in caplog.text


def test_a_tracker_that_hangs_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trackers, "PATIENCE_SECONDS", 0.1)
    run, stuck = RunDir(tmp_path), Hanging()
    tracking = Tracking(run, JOB, makers={"stuck": lambda: stuck})
    run.metrics(1, 1, "train", {"loss": 0.5})
    tracking.close(succeeded=True)
    run.close()
    assert "stuck has not taken all metrics" in caplog.text
    stuck.let_go.set()


def test_a_tracker_that_is_unknown_or_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WHETSTONE_TRACKERS", "mlflow, comet")
    monkeypatch.setattr("training.engine.trainer.trackers.importlib.util.find_spec", lambda _: None)
    assert trackers.wished(RunDir(tmp_path), JOB) == {}
    assert "mlflow, which is not installed" in caplog.text
    assert "'comet' is none of wandb, mlflow" in caplog.text
