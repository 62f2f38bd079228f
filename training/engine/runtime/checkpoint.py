"""Checkpoints that count only when they are whole.

A checkpoint is written to a hidden folder, every file hashed into ``manifest.json``, synced,
and renamed; one without a manifest, or with a file that differs from it, is not used. Knows
nothing of what the files mean.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.engine.errors import EngineError
from training.engine.runtime.run_dir import publish_folder, sha256_of, write_json

MANIFEST = "manifest.json"
KEPT = 2
log = logging.getLogger("engine")


def unfinished(run_dir: Path, step: int) -> Path:
    """Where a checkpoint is while it is being written."""
    return run_dir / f".checkpoint-{step}.tmp"


@contextmanager
def new_checkpoint(run_dir: Path, step: int) -> Iterator[Path]:
    """A folder to write into; on leaving, it is sealed, renamed, and old ones are removed."""
    final = run_dir / f"checkpoint-{step}"
    temporary = unfinished(run_dir, step)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        seal(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(final, ignore_errors=True)
    publish_folder(temporary, final)
    for _, old in _steps(run_dir)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def seal(folder: Path) -> None:
    """Write the manifest: every file's SHA-256 by its name in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    write_json(folder / MANIFEST, {str(p.relative_to(folder)): sha256_of(p) for p in files})


def fault(folder: Path) -> str | None:
    """Why this checkpoint cannot be used; None if it is whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        return "it has no manifest: its writer died while writing it"
    except ValueError:
        return "its manifest is not readable"
    if not isinstance(manifest, dict) or not manifest:
        return "its manifest is empty"
    for name, expected in manifest.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of(path) != expected:
            return f"{name} is not what was written"
    return None


def newest(run_dir: Path) -> Path | None:
    """The newest whole checkpoint; None if there is none at all.

    Damaged ones are passed over, and said so in the log; if all are damaged, EngineError: to
    begin again from step 0 without a word would look like success.
    """
    for leftover in run_dir.glob(".checkpoint-*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    faults = []
    for step, folder in _steps(run_dir):
        reason = fault(folder)
        if reason is None:
            return folder
        log.warning("checkpoint %d is not used: %s", step, reason)
        faults.append(f"{folder.name}: {reason}")
    if faults:
        raise EngineError(
            "bad_checkpoint",
            "No checkpoint is usable. " + "; ".join(faults),
            "Remove the checkpoint-* folders to begin this run again.",
        )
    return None


def kept_steps(run_dir: Path) -> list[int]:
    """The steps of all checkpoints that are there, the newest first."""
    return [step for step, _ in _steps(run_dir)]


def _steps(run_dir: Path) -> list[tuple[int, Path]]:
    """All checkpoint folders, newest first."""
    checkpoints = []
    for path in run_dir.glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
            checkpoints.append((int(match[1]), path))
    return sorted(checkpoints, reverse=True)
