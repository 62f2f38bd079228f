"""Reference log-probabilities kept on disk, found again only where nothing has changed.

A cache folder holds one folder a *setting* (everything but the tokens that a value depends on,
hashed), and in it parts: each one array of (digest of prompt and branch, value), named by the
hash of its own bytes, so that a damaged part is not used and parts of several runs never
clash. Knows nothing of how values are computed.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.engine.data.chat import Tree
from training.engine.runtime.run_dir import sha256_of, write_json

ROW = np.dtype([("digest", "V32"), ("value", "<f8")])
log = logging.getLogger("engine")


def digest_of(prompt: list[int], branch: list[int]) -> bytes:
    """32 bytes that stand for these tokens, and for where the prompt ends."""
    data = np.array([len(prompt), *prompt, *branch], dtype="<i8").tobytes()
    return hashlib.sha256(data).digest()


def digests_of(trees: Iterable[Tree]) -> list[bytes]:
    """One digest a branch, in order."""
    return [digest_of(tree.prompt, branch) for tree in trees for branch in tree.branches]


def weights_identity(base: str, config: Any) -> str:
    """What stands for a base's weights: the hub's commit, or the hash of a folder's files."""
    folder = Path(base).expanduser()
    if folder.is_dir():
        digest = hashlib.sha256()
        for path in [*sorted(folder.glob("*.safetensors")), folder / "config.json"]:
            if path.is_file():
                digest.update(f"{path.name} {sha256_of(path)}\n".encode())
        return digest.hexdigest()
    return str(getattr(config, "_commit_hash", None) or "unknown")


class ReferenceCache:
    """Values under one setting; ``setting`` is JSON-ready and names everything that matters."""

    def __init__(self, folder: Path, setting: dict[str, Any]) -> None:
        text = json.dumps(setting, sort_keys=True, allow_nan=False)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()
        self.setting = setting
        self._values: dict[bytes, float] = {}
        for path in sorted(self.folder.glob("*.npy")):
            self._values.update(_read_part(path))

    def get(self, digest: bytes) -> float | None:
        return self._values.get(digest)

    def put(self, digests: list[bytes], values: list[float], *, write: bool = True) -> None:
        """Keep values; with ``write`` on the disk too, as a part that appears whole or not."""
        new = {d: v for d, v in zip(digests, values, strict=True) if d not in self._values}
        if not new:
            return
        self._values.update(new)
        if not write or not all(map(math.isfinite, new.values())):
            return  # broken values are the caller's to report, and nobody's to find again
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "setting.json").exists():  # for people: what the hash stands for
            write_json(self.folder / "setting.json", self.setting)
        buffer = io.BytesIO()
        np.save(buffer, np.array(list(new.items()), dtype=ROW), allow_pickle=False)
        data = buffer.getvalue()
        final = self.folder / f"{hashlib.sha256(data).hexdigest()}.npy"
        temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)


def _read_part(path: Path) -> dict[bytes, float]:
    if sha256_of(path) != path.stem:
        log.warning("%s in the reference cache is damaged and is not used", path.name)
        return {}
    rows: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    return {bytes(digest): float(value) for digest, value in rows.tolist()}
