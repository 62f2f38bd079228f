"""What rounds make and need, kept by name in Django's storage "artifacts", checked by hash.

A name is ``adapters/…``, ``snapshots/…`` or ``runs/…``. The folders of the same names on this
machine are a cache of the storage; where the storage is the data folder itself, as it is by
default, they are one and the same. A folder counts only with a whole ``manifest.json``, which
is written last: what was torn or is still on its way does not count. Knows nothing of rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import Storage, storages
from django.utils.translation import gettext as _

from training.engine.config import ADAPTER_WEIGHTS

MANIFEST = "manifest.json"
BLOCK = 1 << 20


class ArtifactError(FileNotFoundError):
    """Something that is needed is not there, or not what it was; says which and where."""


def publish(folder: Path, name: str, *, expected: dict[str, str] | None = None) -> str:
    """Keep ``folder`` as ``name``; returns ``name``.

    The copy is hashed, not the original: ArtifactError where a file differs from the SHA-256 that
    ``expected`` gives for it. Doing it twice does no harm; what was torn before is replaced.
    """
    place = _place(name)
    if fault(place) is not None or _differs(place, expected):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
        try:
            shutil.copytree(folder, temporary, ignore=shutil.ignore_patterns(MANIFEST))
            _write_manifest(temporary)
            if file := _differs(temporary, expected):
                raise ArtifactError(
                    _("%(file)s in %(folder)s is not what was produced. It was not published.")
                    % {"file": file, "folder": folder}
                )
            _put_in_place(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if not is_here(name):
        for file in [*manifest_of(place), MANIFEST]:  # the manifest last: before it, nothing counts
            save(place / file, f"{name}/{file}")
    return name


def publish_file(path: Path, name: str) -> None:
    """Keep the file ``path`` as ``name``, whose stem is its SHA-256."""
    if not is_here(name) and not store().exists(name):
        save(path, name)


def local(name: str) -> Path:
    """The folder ``name`` on this machine, whole. ArtifactError where it cannot be had."""
    place = _place(name)
    reason = fault(place)
    if reason is None:
        return place
    if is_here(name):
        raise ArtifactError(
            _("%(name)s in %(folder)s is damaged or absent: %(reason)s")
            % {"name": name, "folder": place.parent, "reason": reason}
        )
    fetch(name, place)
    return place


def local_file(name: str, sha256: str) -> Path:
    """The file ``name`` on this machine, with that hash. ArtifactError where it cannot be had."""
    place = _place(name)
    if place.is_file() and _sha256(place) == sha256:
        return place
    if not is_here(name) and store().exists(name):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
        try:
            digest = _download(name, temporary)
            if digest == sha256:
                temporary.replace(place)
                return place
        finally:
            temporary.unlink(missing_ok=True)
    raise ArtifactError(
        _("%(name)s is absent or damaged; its SHA-256 should be %(sha256)s.")
        % {"name": name, "sha256": sha256}
    )


def local_adapter(path: str) -> Path:
    """The adapter that a policy's row names, whole, on this machine.

    The row may have been written where the data folder is elsewhere: then it is found by its name.
    One from before there were manifests is checked by the digest at the end of its name; a folder
    that was never ours is taken as it is.
    """
    name = f"adapters/{Path(path).name}"
    place = _place(name)
    if (place / MANIFEST).exists() or (not is_here(name) and store().exists(f"{name}/{MANIFEST}")):
        return local(name)
    folder = place if place.is_dir() else Path(path)
    if not folder.is_dir():
        raise ArtifactError(_("The adapter %(path)s is not there.") % {"path": path})
    digest = folder.name.rpartition("-")[2]
    weights = folder / ADAPTER_WEIGHTS
    ours = folder.parent == place.parent and len(digest) == 12
    if ours and (not weights.is_file() or not _sha256(weights).startswith(digest)):
        raise ArtifactError(
            _("The adapter %(path)s is damaged: its weights are not what was published.")
            % {"path": folder}
        )
    return folder


def localised(config: dict[str, Any]) -> dict[str, Any]:
    """An engine's job with the paths that hold on this machine."""
    local = dict(config)
    for field in ("start_adapter", "reference_adapter", "adapter"):
        if local.get(field):
            local[field] = str(local_adapter(local[field]))
    if "adapters" in local:
        local["adapters"] = {
            policy: str(local_adapter(path)) if path else None
            for policy, path in local["adapters"].items()
        }
    if local.get("reference_cache"):
        local["reference_cache"] = str(settings.REFERENCE_CACHE_DIR)
    return local


def fault(folder: Path) -> str | None:
    """Why ``folder`` is not whole; None if it is."""
    try:
        manifest = manifest_of(folder)
    except (OSError, ValueError) as error:
        return str(error)
    for name, expected in manifest.items():
        path = folder / name
        if not path.is_file():
            return _("%(file)s is missing") % {"file": name}
        if _sha256(path) != expected:
            return _("%(file)s is not what was written") % {"file": name}
    return None


# --- what a run makes and leaves in its directory ---


def publish_made(run_dir: Path, folder: str) -> None:
    """Keep ``folder`` of a run elsewhere, too, where runs are not shared."""
    name = f"runs/{run_dir.name}/{folder}"
    if not is_here(name):
        _write_manifest(run_dir / folder)
        for file in [*manifest_of(run_dir / folder), MANIFEST]:
            save(run_dir / folder / file, f"{name}/{file}")


def has_made(run: str, folder: str) -> bool:
    """Whether ``folder`` of a run is kept; nothing is read, so it may yet prove to be damaged."""
    name = f"runs/{run}/{folder}"
    return _place(name).is_dir() or (not is_here(name) and store().exists(f"{name}/{MANIFEST}"))


def local_made(run: str, folder: str) -> Path:
    """``folder`` of a run on this machine. ArtifactError where it cannot be had."""
    name = f"runs/{run}/{folder}"
    if not is_here(name):
        return local(name)
    if not _place(name).is_dir():
        raise ArtifactError(_("%(name)s is not in the data folder.") % {"name": name})
    return _place(name)


def drop_made(run: str, folder: str) -> None:
    """Remove ``folder`` of a run, here and where it is kept."""
    name = f"runs/{run}/{folder}"
    if not is_here(name) and store().exists(f"{name}/{MANIFEST}"):
        with store().open(f"{name}/{MANIFEST}") as file:
            files = _checked(file.read().decode("utf-8"))
        for member in [MANIFEST, *files]:
            store().delete(f"{name}/{member}")
    shutil.rmtree(_place(name), ignore_errors=True)


# --- places and bytes ---


def store() -> Storage:
    return storages["artifacts"]


def _place(name: str) -> Path:
    """Where ``name`` is, or would be, on this machine."""
    kind, _slash, rest = name.partition("/")
    folders: dict[str, Path] = {
        "adapters": settings.ADAPTERS_DIR,
        "snapshots": settings.SNAPSHOTS_DIR,
        "runs": settings.RUNS_DIR,
    }
    return folders[kind] / rest


def is_here(name: str) -> bool:
    """Whether the storage is this machine's own folder."""
    try:
        return Path(store().path(name)).resolve() == _place(name).resolve()
    except NotImplementedError:
        return False


def manifest_of(folder: Path) -> dict[str, str]:
    """Raises OSError or ValueError, in words, where there is none."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(_("it has no manifest, so it is not all there")) from None
    return _checked(text)


def _checked(text: str) -> dict[str, str]:
    """The manifest that ``text`` holds; its names stay within its folder."""
    try:
        files = json.loads(text)
    except ValueError:
        raise ValueError(_("its manifest is not readable")) from None
    if not isinstance(files, dict) or not files:
        raise ValueError(_("its manifest is empty"))
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(_("its manifest names files elsewhere"))
    return files


def _write_manifest(folder: Path) -> None:
    """Hash and sync every file of ``folder``, and write down the hashes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {str(path.relative_to(folder)): _sha256(path) for path in paths}
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
    for path in [*paths, folder / MANIFEST, folder]:
        _sync(path)


def _put_in_place(temporary: Path, place: Path) -> None:
    """Rename a whole folder to its place. What lies there is replaced unless it is whole, too."""
    if place.exists() and fault(place) is None:
        return
    if place.exists():
        shutil.rmtree(place)
    temporary.rename(place)
    _sync(place.parent)


def _differs(folder: Path, expected: dict[str, str] | None) -> str | None:
    """The first of the expected files that the manifest of ``folder`` gives another hash."""
    manifest = manifest_of(folder)
    return next((f for f, sha256 in (expected or {}).items() if manifest.get(f) != sha256), None)


def save(path: Path, name: str) -> None:
    with path.open("rb") as file:
        stored = store().save(name, File(file))
    if stored != name:
        store().delete(stored)
        raise ArtifactError(
            _("%(name)s is in the storage already, and the storage does not replace files.")
            % {"name": name}
        )


def fetch(name: str, place: Path) -> None:
    """Copy a folder from the storage to ``place``, every file checked on the way."""
    try:
        with store().open(f"{name}/{MANIFEST}") as file:
            text = file.read().decode("utf-8")
    except FileNotFoundError:
        raise ArtifactError(
            _("%(name)s is neither on this machine nor in the storage.") % {"name": name}
        ) from None
    manifest = _checked(text)
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        for file_name, sha256 in manifest.items():
            target = temporary / file_name
            target.parent.mkdir(parents=True, exist_ok=True)
            if _download(f"{name}/{file_name}", target) != sha256:
                raise ArtifactError(
                    _("%(file)s of %(name)s in the storage is not what was published.")
                    % {"file": file_name, "name": name}
                )
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
        for path in [*temporary.rglob("*"), temporary]:
            _sync(path)
        _put_in_place(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _download(name: str, target: Path) -> str:
    """Copy one file from the storage; returns the SHA-256 of what came."""
    with store().open(name) as source, target.open("wb") as file:
        return _digest_of(source, file.write)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _digest_of(file)


def _digest_of(source: IO[bytes] | File[bytes], write: Callable[[bytes], Any] | None = None) -> str:
    digest = hashlib.sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        if write is not None:
            write(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
