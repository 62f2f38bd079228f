"""Who trains what, looked at ten times a second in /proc: overlapping engines, and orphans.

Knows nothing of Whetstone's own opinion, but for the note in a run directory's lock that says
which process has it.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from pathlib import Path

LOOK_SECONDS = 0.1
ORPHAN_SECONDS = 5.0


@dataclasses.dataclass
class Engine:
    """One engine process."""

    pid: int
    run: Path
    parent: int
    held: bool = False  # whether it has ever had its run directory
    parent_died: float | None = None
    is_told: bool = False


class Watch(threading.Thread):
    """Collects what must not be, in words, until it is stopped."""

    def __init__(self, home: Path) -> None:
        super().__init__(name="watch", daemon=True)
        self.home = str(home)
        self.overlaps: list[str] = []
        self.orphans: list[str] = []
        self.engines: dict[int, Engine] = {}
        self.ended: dict[str, float] = {}  # when a run was over, by its folder's name
        self._known: dict[int, tuple[float, bool]] = {}  # when first seen; whether to look again
        self._together: set[tuple[int, int]] = set()
        self._over = threading.Event()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def engine_of(self, run: str) -> Engine | None:
        """The process that trains in the folder ``run`` now, or is about to."""
        engines = [engine for engine in list(self.engines.values()) if engine.run.name == run]
        return next((engine for engine in engines if engine.held), engines[0] if engines else None)

    def run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        now = time.monotonic()
        alive = {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
        for pid in set(self._known) - alive:
            del self._known[pid]
        for pid in alive:
            first, again = self._known.get(pid, (now, True))
            if again:
                read = self._read(pid)
                # A child is its parent's double until it begins a program of its own.
                self._known[pid] = (first, read is None and now - first < 3)
                if read is not None:
                    self.engines[pid] = read
        for pid, engine in list(self.engines.items()):
            if _state(pid) in ("", "Z", "X"):
                del self.engines[pid]
                continue
            self._check(engine, now)
        self._compare()

    def _read(self, pid: int) -> Engine | None:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"training.engine" not in command or self.home.encode() not in b" ".join(command):
                return None
            pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return None
        around = dict(pair.split(b"=", 1) for pair in pairs if b"=" in pair)
        run = Path(command[-2].decode())
        return Engine(pid=pid, run=run, parent=int(around.get(b"WHETSTONE_PARENT_PID", b"0")))

    def _check(self, engine: Engine, now: float) -> None:
        if not engine.held:
            try:
                note = json.loads((engine.run / "engine.lock").read_text(encoding="utf-8"))
                engine.held = note.get("pid") == engine.pid
            except (OSError, ValueError):
                pass
        if engine.parent_died is None and _state(engine.parent) in ("", "Z", "X"):
            engine.parent_died = now
        over = self.ended.get(engine.run.name)
        since = min((t for t in (engine.parent_died, over) if t is not None), default=now)
        if now - since > ORPHAN_SECONDS and not engine.is_told:
            engine.is_told = True
            why = "its worker died" if engine.parent_died else "its round ended"
            self.orphans.append(
                f"process {engine.pid} in {engine.run.name}, state {_state(engine.pid)}, {why}"
            )

    def _compare(self) -> None:
        """Two that have held the same round's folder, both alive at two looks in turn."""
        together = set()
        holders = [engine for engine in self.engines.values() if engine.held]
        for holder in holders:
            for other in holders:
                if holder.pid < other.pid and holder.run.name == other.run.name:
                    pair = (holder.pid, other.pid)
                    together.add(pair)
                    if pair in self._together:
                        self.overlaps.append(f"processes {pair} in {holder.run.name}")
        self._together = together


def _state(pid: int) -> str:
    """The kernel's letter for what a process does; empty for none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
