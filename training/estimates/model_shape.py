"""A base model's shape, read from its files without loading it.

From ``config.json`` and the headers of its safetensors files, in a folder or in the hub's cache on
this machine. Knows neither torch nor transformers.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

OUTER = ("lm_head", "embed", "wte", "wpe", "output_layer")
MOST_HEADER = 100 * 2**20


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """``linear`` are the weights of inner linear layers; ``widths`` sums in + out over those."""

    parameters: int
    linear: int
    widths: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int
    queries: int = 0  # heads times their size; 0: as wide as ``hidden``
    keys: int = 0  # the same of keys and values; 0: as wide as the queries


@lru_cache(maxsize=32)
def shape_of(base: str, revision: str | None) -> ModelShape | None:
    """The shape; None where its files are not on this machine or say too little."""
    config = find_file(base, revision, "config.json")
    if config is None:
        return None
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        settings = settings.get("text_config") or settings
        layers, hidden = int(settings["num_hidden_layers"]), int(settings["hidden_size"])
        inner = int(settings.get("intermediate_size") or 4 * hidden)
        vocabulary = int(settings.get("vocab_size") or 0)
        sizes = _weights(config.parent) or _guessed(settings, layers, hidden, inner, vocabulary)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    inside = [
        shape
        for name, shape in sizes.items()
        if len(shape) == 2 and not any(word in name for word in OUTER)
    ]
    heads = int(settings.get("num_attention_heads") or 1)
    size = int(settings.get("head_dim") or hidden // heads)
    experts = int(settings.get("num_experts_per_tok") or 1)
    return ModelShape(
        parameters=sum(_product(shape) for shape in sizes.values()),
        linear=sum(_product(shape) for shape in inside),
        widths=sum(sum(shape) for shape in inside),
        layers=layers,
        hidden=hidden,
        inner=inner * experts,
        vocabulary=vocabulary,
        queries=heads * size,
        keys=int(settings.get("num_key_value_heads") or heads) * size,
    )


def find_file(base: str, revision: str | None, name: str) -> Path | None:
    """A file of the model on this machine, in its folder or the hub's cache. Asks no network."""
    folder = Path(base)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    try:
        cached = try_to_load_from_cache(base, name, revision=revision)
    except ValueError:  # no name that a hub could have
        return None
    return Path(cached) if isinstance(cached, str) else None


def _weights(folder: Path) -> dict[str, list[int]]:
    """Every tensor's shape, from the headers; empty where not all files are there."""
    index = folder / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    shapes: dict[str, list[int]] = {}
    for name in names:
        if not (folder / name).is_file():
            return {}
        shapes.update(_header(folder / name))
    return shapes


def _header(path: Path) -> dict[str, list[int]]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > MOST_HEADER:
            raise ValueError(f"{path}: a header of {length} bytes")
        header = json.loads(file.read(length))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def _guessed(
    settings: dict[str, Any], layers: int, hidden: int, inner: int, vocabulary: int
) -> dict[str, list[int]]:
    """The tensors that a model of Llama's kind has, where its weights are not here yet."""
    heads = int(settings.get("num_attention_heads") or 1)
    width = int(settings.get("head_dim") or hidden // heads)
    pairs = int(settings.get("num_key_value_heads") or heads)
    shapes = {"embed_tokens": [vocabulary, hidden]}
    if not settings.get("tie_word_embeddings"):
        shapes["lm_head"] = [vocabulary, hidden]
    for layer in range(layers):
        shapes[f"{layer}.q"] = shapes[f"{layer}.o"] = [heads * width, hidden]
        shapes[f"{layer}.k"] = shapes[f"{layer}.v"] = [pairs * width, hidden]
        for name in ("gate", "up", "down"):
            shapes[f"{layer}.{name}"] = [inner, hidden]
    return shapes


def _product(shape: list[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result
