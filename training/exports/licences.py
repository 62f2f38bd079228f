"""The licence of a base model, as the base itself states it on this disk. Never guessed, never
asked of a network."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import yaml

logger = logging.getLogger(__name__)


def licence_of(base: str, revision: str = "") -> str | None:
    """Such as "apache-2.0"; None where the base's card and configuration do not say."""
    for name, read in (("README.md", _of_card), ("config.json", _of_config)):
        path = _on_disk(base, revision, name)
        if path is None:
            continue
        try:
            licence = read(path.read_text(encoding="utf-8", errors="replace"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            logger.info("%s: no licence could be read: %s", path, error)
            continue
        if licence:
            return licence
    return None


def _on_disk(base: str, revision: str, name: str) -> Path | None:
    """The base's own file: in its folder, or in what the hub's library keeps of it."""
    if Path(base).is_dir():
        path = Path(base, name)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(base, name, revision=revision or None)
    except HFValidationError:
        return None
    return Path(cached) if isinstance(cached, str) else None


def _of_card(text: str) -> str | None:
    from huggingface_hub import ModelCard

    data = ModelCard(text, ignore_metadata_errors=True).data
    name = data.get("license_name") if data.get("license") == "other" else data.get("license")
    return _one(name or data.get("license"))


def _of_config(text: str) -> str | None:
    config = json.loads(text)
    return _one(config.get("license")) if isinstance(config, dict) else None


def _one(value: object) -> str | None:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return str(value).strip() or None if value else None
