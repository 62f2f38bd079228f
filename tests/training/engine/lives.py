"""The engine in processes forked from one that has already loaded its libraries.

They behave like ``python -m training.engine`` without the seconds of loading: they handle
signals, can be killed, and leave behind what a killed process leaves.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

PRELOADED = ["benchmarks.gpu_proof.preload", "transformers.models.llama"]


def _live(kind: str, folder: str, environment: dict[str, str]) -> None:
    import torch

    from training.engine.__main__ import main

    os.environ.update(environment)
    torch.set_num_threads(1)
    raise SystemExit(main([kind, folder]))


class Life:
    """A process of the engine that can be waited for and ended like a subprocess."""

    def __init__(self, kind: str, folder: Path, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(target=_live, args=(kind, str(folder), environment))
        self._process.start()

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float = 280) -> int:
        self._process.join(seconds)
        status = self._process.exitcode
        assert status is not None, f"still running after {seconds:g} s"
        return status

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def start_life(kind: str, folder: Path, **environment: str) -> Life:
    """Start the engine on ``folder``."""
    return Life(kind, folder, environment)


def live(folder: Path) -> int:
    """Run a sampling engine to its end; returns its exit status."""
    return start_life("sample", folder).wait()


def live_until(folder: Path, moment: float) -> bool:
    """Kill the engine ``moment`` seconds after new output or its start; False if it had ended.

    Half of the moments count from the start, so that some kills happen during loading.
    """
    file = folder / "completions.jsonl"
    size = file.stat().st_size if file.exists() else 0
    life = start_life("sample", folder)
    if moment < 0.5:
        while life.poll() is None and (not file.exists() or file.stat().st_size <= size):
            time.sleep(0.001)
        moment /= 10
    time.sleep(moment)
    killed = life.poll() is None
    life.kill()
    life.wait()
    return killed
