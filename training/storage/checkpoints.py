"""A run's checkpoints in the storage, where runs may go on on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.storage import artifacts


def newest_checkpoint(run_dir: Path) -> str | None:
    """The newest checkpoint of a run that must be kept elsewhere; None where runs are shared."""
    checkpoints = _checkpoints(path.name for path in run_dir.glob("checkpoint-*"))
    return (
        checkpoints[-1] if checkpoints and not artifacts.is_here(f"runs/{run_dir.name}") else None
    )


def publish_checkpoint(run_dir: Path, checkpoint: str) -> None:
    """Keep a checkpoint, in place of those before it. One that is gone already is passed over."""
    folder, name = run_dir / checkpoint, f"runs/{run_dir.name}/{checkpoint}"
    try:
        for file in [*artifacts.manifest_of(folder), artifacts.MANIFEST]:
            artifacts.save(folder / file, f"{name}/{file}")
    except artifacts.ArtifactError:
        raise
    except (FileNotFoundError, ValueError):
        return
    drop_checkpoints(run_dir.name, but=checkpoint)


def fetch_checkpoint(run_dir: Path) -> None:
    """Bring the newest kept checkpoint of a run, where this machine has none as new."""
    prefix = f"runs/{run_dir.name}"
    if artifacts.is_here(prefix):
        return
    local = _checkpoints(path.name for path in run_dir.glob("checkpoint-*"))
    for name in reversed(_checkpoints(_folders(prefix))):
        if local and _step(name) <= _step(local[-1]):
            return
        if artifacts.store().exists(f"{prefix}/{name}/{artifacts.MANIFEST}"):
            artifacts.fetch(f"{prefix}/{name}", run_dir / name)
            return


def drop_checkpoints(run: str, *, but: str = "") -> None:
    """Remove what is kept of a run's checkpoints, manifests first."""
    if artifacts.is_here(f"runs/{run}"):
        return
    for name in _checkpoints(_folders(f"runs/{run}")):
        if name != but:
            files = artifacts.store().listdir(f"runs/{run}/{name}")[1]
            for file in sorted(files, key=lambda file: file != artifacts.MANIFEST):
                artifacts.store().delete(f"runs/{run}/{name}/{file}")


def _folders(prefix: str) -> list[str]:
    try:
        return artifacts.store().listdir(prefix)[0]
    except FileNotFoundError:
        return []


def _checkpoints(names: Any) -> list[str]:
    """Those that are checkpoints' names, the newest last."""
    return sorted(
        (name for name in names if name.startswith("checkpoint-") and name[11:].isdigit()),
        key=_step,
    )


def _step(name: str) -> int:
    return int(name.rpartition("-")[2])
