"""The engine as a child process: start it, follow it, stop it.

Knows the run directory's contract (training.engine.config) and nothing of the database.
The child has its own process group, dies with this process, holds a lock on the device while it
computes, and may go on only as long as it is followed: following renews its lease.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import psutil
from django.conf import settings

from training.engine.config import EXIT_STOPPED
from training.storage.code_version import code_version

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
"""How long an engine may take to write its checkpoint after SIGTERM."""
LONG_PAUSE_SECONDS = 10.0
"""Between two looks at the engine: longer means that this process did not run."""
LITTLE_BYTES = 64 * 1024

Instruction = Literal["go on", "stop", "lost"]
"""``lost``: somebody else has the job now; the engine must not go on, not even for a moment."""


@dataclasses.dataclass(frozen=True)
class EngineProgress:
    """What the engine's heartbeat says."""

    phase: str = ""
    step: int = 0
    total_steps: int = 0


@dataclasses.dataclass(frozen=True)
class EngineEnding:
    """How the engine ended: its exit status, its result and its error, whichever there are."""

    status: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    was_silent: bool = False

    @property
    def may_go_on(self) -> bool:
        """Whether it did not end by itself: killed, hung or crashed, so worth another attempt."""
        return self.result is None and self.error is None and self.status not in (0, EXIT_STOPPED)

    def words(self) -> str:
        """Why there is no result, for a person."""
        if self.error:
            parts = [str(self.error.get("message", "")), str(self.error.get("advice") or "")]
            return " ".join(part for part in parts if part)
        if self.was_silent:
            return (
                f"The engine gave no sign of life for {settings.SILENT_SECONDS} seconds and was "
                "ended."
            )
        if self.status < 0:
            name = signal.Signals(-self.status).name
            return f"The engine was ended by {name} before it finished" + (
                ", most often because memory ran out." if name == "SIGKILL" else "."
            )
        return f"The engine ended with status {self.status} and left no result."


class Tail:
    """New whole lines of a growing JSONL file, each time it is asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> Iterator[dict[str, Any]]:
        """The objects of the lines completed since the last call."""
        try:
            with self._path.open("rb") as file:
                if self._offset > os.fstat(file.fileno()).st_size:
                    self._offset = 0  # a resumed engine cut the file back to its checkpoint
                file.seek(self._offset)
                block = file.read()
        except FileNotFoundError:
            return
        complete = block[: block.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            yield json.loads(line)


def run_engine(
    *,
    kind: str,
    run_dir: Path,
    follow: Callable[[EngineProgress], Instruction],
    attempt: int | None = None,
    threads: int = 0,
    processes: int = 1,
    name: str = "",
) -> EngineEnding:
    """Run ``python -m training.engine KIND RUN_DIR`` to its end, calling ``follow`` as it goes.

    ``processes`` train together, one a GPU, unless the operator's launcher decides that.

    ``follow`` is called about twice a second; all but "go on" sends SIGTERM, and SIGKILL to the
    whole group if that has not helped within PATIENCE_SECONDS. An engine whose heartbeat stands
    still for settings.SILENT_SECONDS is ended. The engine never outlives this call. With
    ``attempt``, the engine of an earlier one that still works in ``run_dir`` has to give way to it.
    ``threads``: others than settings.ENGINE_THREADS. ``name`` is what the run is called wherever
    its metrics are told.
    """
    (run_dir / "error.json").unlink(missing_ok=True)
    lease = run_dir / "lease"
    lease.touch()
    with (run_dir / "engine.out").open("ab") as out:
        child = subprocess.Popen(
            [*_launcher(kind, processes), "-m", "training.engine", kind, str(run_dir)],
            cwd=settings.BASE_DIR,
            env={
                **_environment(attempt, threads or settings.ENGINE_THREADS),
                "WHETSTONE_RUN_NAME": name,
            },
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stop_by: float | None = None
    pulse = Heartbeat(run_dir / "heartbeat")
    is_silent = False
    try:
        while child.poll() is None:
            wish = follow(read_progress(run_dir))
            if wish != "lost":
                lease.touch()
            if wish != "go on" and stop_by is None:
                stop_by = time.monotonic() + PATIENCE_SECONDS
                child.terminate()
            is_silent = stop_by is None and pulse.silence() > settings.SILENT_SECONDS
            if is_silent or (stop_by is not None and time.monotonic() > stop_by):
                break
            try:
                child.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        _end_group(child)
    follow(read_progress(run_dir))
    failed = child.returncode not in (0, EXIT_STOPPED)
    return EngineEnding(
        status=child.returncode,
        result=_read_json(run_dir / "result.json") if child.returncode == 0 else None,
        error=_read_json(run_dir / "error.json") or (_disk_full(run_dir) if failed else None),
        was_silent=is_silent and child.returncode == -signal.SIGKILL,
    )


class Heartbeat:
    """How long a heartbeat has stood still, by this process's own clock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = 0
        self._since = self._asked = time.monotonic()

    def silence(self) -> float:
        """Seconds without a new heartbeat, less those in which nobody asked."""
        now = time.monotonic()
        if now - self._asked > LONG_PAUSE_SECONDS:  # we were stopped, perhaps with the engine
            self._since = now
        self._asked = now
        try:
            beat = self._path.stat().st_mtime_ns
        except OSError:
            beat = 0
        if beat != self._seen:
            self._seen, self._since = beat, now
        return now - self._since


def read_progress(run_dir: Path) -> EngineProgress:
    """The newest heartbeat, or an empty one before the first."""
    beat = _read_json(run_dir / "heartbeat") or {}
    return EngineProgress(
        phase=str(beat.get("phase", "")),
        step=int(beat.get("step") or 0),
        total_steps=int(beat.get("total_steps") or 0),
    )


def read_partial(run_dir: Path) -> dict[str, str]:
    """What a sampling engine that shows it has under way, by id."""
    return _read_json(run_dir / "partial.json") or {}


def log_tail(run_dir: Path, *, lines: int = 40) -> str:
    """The last words of the engine, for the page of a failed job."""
    for name in ("engine.log", "engine.out"):
        path = run_dir / name
        if path.exists() and path.stat().st_size:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - 16_000))
                text = file.read().decode("utf-8", "replace")
            return "\n".join(text.splitlines()[-lines:])
    return ""


def _launcher(kind: str, processes: int = 1) -> list[str]:
    """Training may be spread over devices, by the operator's launcher or as a round asks for; the
    rest is one process."""
    if kind not in ("dpo", "sft", "reward"):
        return [sys.executable]
    if settings.LAUNCHER:
        return shlex.split(settings.LAUNCHER)
    if processes > 1:
        options = {"num_processes": processes, "num_machines": 1, "mixed_precision": "no"}
        flags = [
            f"--{name}={value}" for name, value in (options | {"dynamo_backend": "no"}).items()
        ]
        # Port 0: any that is free, so that two rounds never meet.
        launch = [sys.executable, "-m", "accelerate.commands.launch", "--main_process_port=0"]
        return [*launch, "--multi_gpu", *flags]
    return [sys.executable]


def _environment(attempt: int | None, threads: int) -> dict[str, str]:
    variables = {
        # Threads that wait by sleeping: as fast alone, and far faster beside a busy web server
        # than threads that spin for a core they have lost.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "WHETSTONE_PARENT_PID": str(os.getpid()),
        "WHETSTONE_CODE_VERSION": code_version(),
        "WHETSTONE_LEASE_SECONDS": str(settings.LEASE_SECONDS),
        "WHETSTONE_DEVICE_LOCK": str(settings.DEVICE_LOCK),
        "WHETSTONE_TRACKERS": ",".join(settings.TRACKERS),
        "WHETSTONE_TRACKING_PROJECT": settings.TRACKING_PROJECT,
        "TOKENIZERS_PARALLELISM": "false",
    }
    if attempt is not None:
        variables["WHETSTONE_ATTEMPT"] = str(attempt)
    if settings.SHARE_DEVICE:
        variables["WHETSTONE_SHARE_DEVICE"] = "1"
    if threads:
        variables["WHETSTONE_THREADS"] = str(threads)
    return variables


def end_orphans() -> list[int]:
    """End engines of this machine's runs whose worker is gone; returns their process ids.

    They end by themselves, unless they were stopped (SIGSTOP) and cannot.
    """
    ended = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "training.engine" not in command or not command[-1].startswith(str(settings.RUNS_DIR)):
            continue
        with contextlib.suppress(psutil.Error):
            parent = int(process.environ().get("WHETSTONE_PARENT_PID") or process.pid)
            if not psutil.pid_exists(parent) or _is_zombie(parent):
                process.kill()
                ended.append(process.pid)
    return ended


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _disk_full(run_dir: Path) -> dict[str, Any] | None:
    """The error that an engine cannot write down because the disk is full."""
    if shutil.disk_usage(run_dir).free > LITTLE_BYTES:
        return None
    return {
        "kind": "disk_full",
        "message": f"The disk that holds {run_dir} is full.",
        "advice": "Free some space and start another round; the pairs are kept.",
    }


def _end_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
