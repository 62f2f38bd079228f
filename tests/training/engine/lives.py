"""The engine in processes that are forked from one that has loaded its libraries.

They are what ``python -m training.engine`` is in all but the seconds of loading: they take
signals, can be killed, and leave what a killed process leaves.
"""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

PRELOADED = ["training.engine.train", "training.engine.sample", "transformers.models.llama"]


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
