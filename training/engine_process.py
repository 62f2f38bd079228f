"""The engine as a child process: start it, follow it, stop it.

Knows the run directory's contract (training.engine.config) and nothing of the database.
The child has its own process group, dies with this process, and holds a lock on the device
while it computes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from django.conf import settings

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
"""How long an engine may take to write its checkpoint after SIGTERM."""

Wish = Literal["go on", "stop"]


@dataclasses.dataclass(frozen=True)
class Progress:
    """What the engine's heartbeat says."""

    phase: str = ""
    step: int = 0
    total_steps: int = 0


@dataclasses.dataclass(frozen=True)
class Ending:
    """How the engine ended: its exit status, its result and its error, whichever there are."""

    status: int
    result: dict[str, Any] | None
    error: dict[str, Any] | None

    def words(self) -> str:
        """Why there is no result, for a person."""
        if self.error:
            parts = [str(self.error.get("message", "")), str(self.error.get("advice") or "")]
            return " ".join(part for part in parts if part)
        if self.status < 0:
            name = signal.Signals(-self.status).name
            return f"The engine was ended by {name} before it finished" + (
                ", most often for want of memory." if name == "SIGKILL" else "."
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
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            yield json.loads(line)


def run_engine(
    *,
    kind: str,
    run_dir: Path,
    follow: Callable[[Progress], Wish],
    name: str = "",
) -> Ending:
    """Run ``python -m training.engine KIND RUN_DIR`` to its end, calling ``follow`` as it goes.

    ``follow`` is called about twice a second; "stop" sends SIGTERM, and SIGKILL to the whole
    group if that has not helped within PATIENCE_SECONDS. The engine never outlives this call.
    ``name`` is what the run is called wherever its metrics are told.
    """
    (run_dir / "error.json").unlink(missing_ok=True)
    with (run_dir / "engine.out").open("ab") as out:
        child = subprocess.Popen(
            [*_launcher(kind), "-m", "training.engine", kind, str(run_dir)],
            cwd=settings.BASE_DIR,
            env={**_environment(), "WHETSTONE_RUN_NAME": name},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stop_by: float | None = None
    try:
        while child.poll() is None:
            if follow(read_progress(run_dir)) == "stop" and stop_by is None:
                stop_by = time.monotonic() + PATIENCE_SECONDS
                child.terminate()
            if stop_by is not None and time.monotonic() > stop_by:
                break
            try:
                child.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    finally:
        _end_group(child)
    follow(read_progress(run_dir))
    return Ending(
        status=child.returncode,
        result=_read_json(run_dir / "result.json") if child.returncode == 0 else None,
        error=_read_json(run_dir / "error.json"),
    )


def read_progress(run_dir: Path) -> Progress:
    """The newest heartbeat, or an empty one before the first."""
    beat = _read_json(run_dir / "heartbeat") or {}
    return Progress(
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


def _launcher(kind: str) -> list[str]:
    """Training may be spread over devices by the operator's launcher; the rest is one process."""
    if kind in ("dpo", "sft") and settings.LAUNCHER:
        return shlex.split(settings.LAUNCHER)
    return [sys.executable]


def _environment() -> dict[str, str]:
    variables = {
        # Threads that wait by sleeping: as fast alone, and far faster beside a busy web server
        # than threads that spin for a core they have lost.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "WHETSTONE_PARENT_PID": str(os.getpid()),
        "WHETSTONE_DEVICE_LOCK": str(settings.DEVICE_LOCK),
        "WHETSTONE_TRACKERS": ",".join(settings.TRACKERS),
        "WHETSTONE_TRACKING_PROJECT": settings.TRACKING_PROJECT,
        "TOKENIZERS_PARALLELISM": "false",
    }
    if settings.ENGINE_THREADS:
        variables["WHETSTONE_THREADS"] = str(settings.ENGINE_THREADS)
    return variables


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
