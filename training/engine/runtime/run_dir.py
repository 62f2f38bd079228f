"""The run directory as the engine writes it: heartbeat, metrics, logs, results.

What replaces a file is written to a temporary name, synced and renamed; what grows is
appended line by line and flushed. Knows nothing of models.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from training.engine.errors import EngineError

HEARTBEAT_SECONDS = 2.0


def sync_path(path: Path) -> None:
    """Force a file's or folder's contents to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, data: dict[str, Any], *, sync: bool = True) -> None:
    """Replace ``path`` whole: never half-written, whenever the process dies."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        if sync:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)
    if sync:
        sync_path(path.parent)


def publish_folder(temporary: Path, final: Path) -> None:
    """Sync every file of ``temporary``, then rename it to ``final``, which must not exist."""
    for path in sorted(temporary.rglob("*")):
        sync_path(path)
    sync_path(temporary)
    temporary.rename(final)
    sync_path(final.parent)


def sha256_of(path: Path) -> str:
    """The hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def drop_torn_line(path: Path) -> None:
    """Cut a last line that has no newline: its writer died while writing it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - 65536)
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            file.truncate(position)


class LineLog:
    """A JSON Lines file that grows; a torn last line from an earlier life is dropped."""

    def __init__(self, path: Path) -> None:
        drop_torn_line(path)
        self.path = path
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every line written so far, this life's and earlier ones'."""
        self.flush()
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


class RunDir:
    """One run's folder. In a group of processes only the one with ``writes`` writes."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self.at_checkpoint: Callable[[], None] = lambda: None  # a good moment to let others in
        self._beat: dict[str, Any] = {"phase": "starting", "step": 0, "total_steps": 0}
        self._beating = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._metrics: LineLog | None = None
        self._handlers: list[logging.Handler] = []
        self._phases_said: set[str] = set()
        self.listeners: list[Callable[[dict[str, Any]], None]] = []  # are told of every metric

    def open(self) -> None:
        """Forget the last attempt's error, start the log and the heartbeat."""
        if not self.writes:
            return
        (self.path / "error.json").unlink(missing_ok=True)
        self._handlers = _log_to(self.path / "engine.log")
        self.beat()
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=HEARTBEAT_SECONDS)
        if self._metrics is not None:
            self._metrics.close()
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()

    def phase(self, phase: str, *, step: int | None = None, total_steps: int | None = None) -> None:
        """Say what is being done now, in words for the round's page. "stopped" is the last word.

        A run that leaves says so in a thread of its own, while the work may still go on.
        """
        with self._beating:
            if self._beat["phase"] == "stopped":
                return
            changed = phase != self._beat["phase"]
            self._beat = {
                "phase": phase,
                "step": self._beat["step"] if step is None else step,
                "total_steps": self._beat["total_steps"] if total_steps is None else total_steps,
            }
        if changed and self.writes:
            if phase not in self._phases_said:  # training and evaluating take turns
                self._phases_said.add(phase)
                logging.getLogger("engine").info("phase: %s", phase)
            self.beat()

    def beat(self) -> None:
        # A heartbeat need not survive a power cut, and a sync every two seconds is not free.
        with self._beating:  # the pulse and a new phase would rename each other's temporary file
            write_json(self.path / "heartbeat", {"time": time.time(), **self._beat}, sync=False)

    def _keep_beating(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self.beat()
            except OSError as error:  # a full disk must be reported by the work, not by the pulse
                logging.getLogger("engine").warning("heartbeat not written: %s", error)

    def metrics(self, step: int, total_steps: int, split: str, values: dict[str, float]) -> None:
        """Append one line to ``metrics.jsonl``. Values that are not finite are left out."""
        if not self.writes:
            return
        if self._metrics is None:
            self._metrics = LineLog(self.path / "metrics.jsonl")
        finite = {name: float(v) for name, v in values.items() if math.isfinite(v)}
        line = {
            "time": time.time(),
            "step": step,
            "total_steps": total_steps,
            "split": split,
            "values": finite,
        }
        self._metrics.append(line)
        self._metrics.flush()
        for tell in self.listeners:
            tell(line)

    def recorded(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``, the newest of each step and split, by step."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        drop_torn_line(path)
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        newest = {(row["step"], row["split"]): row for row in rows}
        return [newest[key] for key in sorted(newest)]

    def recorded_steps(self, split: str) -> set[int]:
        """The steps that ``metrics.jsonl`` already holds for ``split``."""
        return {row["step"] for row in self.recorded() if row["split"] == split}

    def result(self, **fields: Any) -> None:
        if self.writes:
            write_json(self.path / "result.json", {"state": "succeeded", **fields})

    def error(self, error: EngineError) -> None:
        if self.writes:
            write_json(self.path / "error.json", error.as_dict())


def _log_to(path: Path) -> list[logging.Handler]:
    """Send our own words, and other libraries' warnings, to ``path`` and to standard error."""
    form = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    root = logging.getLogger()
    handlers: list[logging.Handler] = [
        logging.FileHandler(path, encoding="utf-8"),
        logging.StreamHandler(sys.stderr),
    ]
    for handler in handlers:
        handler.setFormatter(form)
        root.addHandler(handler)
    logging.getLogger("engine").setLevel(logging.INFO)
    return handlers
