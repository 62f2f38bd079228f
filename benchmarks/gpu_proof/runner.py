"""Parts that run one after another, each within its time, whatever becomes of the others.

What touches the device runs in processes forked from one that has loaded the libraries: a part
that hangs or breaks the device's state ends with its process. Knows nothing of what is checked.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PRELOADED = ["benchmarks.gpu_proof.preload"]
TAIL_LINES = 12
PATIENCE = 5
Figures = dict[str, Any]


class Missing(Exception):  # no error: the part says what it would need
    """A library or a card that a part needs is not here."""


class PartError(Exception):
    """A process of a part failed; the message is the end of what it said."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the parts are given."""

    out: Path  # figures and logs
    work: Path  # models and runs, thrown away
    data: Path | None  # a folder with HH-harmless pairs
    device: str = "cuda"
    forks: bool = True  # False: processes load their libraries themselves
    deadline: float = float("inf")  # time.monotonic() at which the part in progress has to end

    @property
    def seconds_left(self) -> float:
        return max(1.0, self.deadline - time.monotonic())

    @property
    def rehearses(self) -> bool:
        """Whether this only tries the script itself, on a CPU with tiny shapes."""
        return self.device == "cpu"


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    group: str
    seconds: float
    run: Callable[[Setting], Figures]


class Report:
    """Verdicts as they come, on the screen and in ``OUT/parts.jsonl``."""

    def __init__(self, out: Path) -> None:
        self.path = out / "parts.jsonl"
        self.path.write_text("", encoding="utf-8")
        self.rows: list[dict[str, Any]] = []

    def add(self, part: str, verdict: str, seconds: float, figures: Figures, words: str) -> None:
        row = {
            "part": part,
            "verdict": verdict,
            "seconds": round(seconds, 1),
            "figures": figures,
            "words": words,
        }
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        listed = ", ".join(f"{name} {_short(value)}" for name, value in figures.items())
        print(f"{verdict:<8} {part:<12} {seconds:6.1f} s  {listed}", flush=True)
        for line in words.splitlines()[-TAIL_LINES:]:
            print(f"         | {line}", flush=True)

    @property
    def figures(self) -> Figures:
        return {name: value for row in self.rows for name, value in row["figures"].items()}

    @property
    def failures(self) -> list[str]:
        return [row["part"] for row in self.rows if row["verdict"] == "FAILED"]


def run_part(part: Part, setting: Setting, report: Report, seconds: float) -> None:
    """Run ``part`` for at most ``seconds`` and its own limit, and report.

    The limits of parts are for a card; on a CPU, perhaps a busy one, they are PATIENCE times that.
    """
    began = time.monotonic()
    on_a_cpu = setting.rehearses or part.group == "no_card"
    limit = min(part.seconds * (PATIENCE if on_a_cpu else 1), seconds)
    figures: Figures = {}
    try:
        figures = part.run(dataclasses.replace(setting, deadline=began + limit))
    except Missing as missing:
        verdict, words = "missing", str(missing)
    except PartError as error:
        verdict, words = "FAILED", str(error)
    except Exception:
        verdict, words = "FAILED", traceback.format_exc()
    else:
        verdict, words = "ok", ""
    report.add(part.name, verdict, time.monotonic() - began, figures, words)


def in_process(
    setting: Setting, function: Callable[..., Any], *arguments: Any, **environment: str
) -> Any:
    """What ``function(*arguments)`` returns, computed in a process of its own.

    Raises PartError with the last lines that the process wrote where it fails or takes too long.
    """
    log = setting.out / "process.log"
    context: multiprocessing.context.BaseContext = multiprocessing.get_context("spawn")
    if setting.forks:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(  # type: ignore[attr-defined]
        target=_child, args=(sending, log, environment, function, arguments), daemon=False
    )
    process.start()
    sending.close()
    try:
        if not receiving.poll(setting.seconds_left):
            raise PartError(f"it took longer than its time\n{tail(log)}")
        try:
            kind, value = receiving.recv()
        except EOFError:
            raise PartError(f"the process ended without a word\n{tail(log)}") from None
    finally:
        end(process)
    if kind == "missing":
        raise Missing(value)
    if kind == "failed":
        raise PartError(value)
    return value


def end(process: Any) -> None:
    """Wait a little for ``process``, then end it."""
    process.join(timeout=5)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    if not path.exists():
        return ""
    return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def _child(
    sending: Any,
    log: Path,
    environment: dict[str, str],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(environment)
    try:
        answer = ("value", function(*arguments))
    except Missing as missing:
        answer = ("missing", str(missing))
    except BaseException:
        text = traceback.format_exc()
        print(text, file=sys.stderr, flush=True)
        answer = ("failed", "\n".join(text.splitlines()[-TAIL_LINES:]))
    sending.send(answer)
    sending.close()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
