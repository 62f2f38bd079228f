"""The engine in processes that are forked from one that has loaded its libraries.

They are what ``python -m training.engine`` is in all but the seconds of loading: they take
signals, can be killed, and leave what a killed process leaves.
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
    """One process of the engine, to be waited for and ended as a subprocess is."""

    def __init__(self, kind: str, folder: Path, environment: dict[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(target=_live, args=(kind, str(folder), environment))
        self._process.start()

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
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
    """One whole life of a sampling engine; its exit status."""
    return start_life("sample", folder).wait()


def live_until(folder: Path, moment: float) -> bool:
    """Kill the engine ``moment`` seconds after it wrote something new, or began; False: it ended.

    Half of the moments count from the start, so that loading is met too.
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
