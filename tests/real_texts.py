"""Every prompt, turn, completion and pair in ../shared/data, unchanged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import SHARED_DATA


def real_texts() -> Iterator[tuple[str, str]]:
    """Yields (file, text); nothing if the folder is absent."""
    for path in _files():
        for row in _rows(path):
            for text in _strings(row):
                yield path.name, text


def real_pairs() -> Iterator[tuple[str, str, str]]:
    """Yields (file, an answer, another answer to the same prompt)."""
    for path in _files():
        before: dict[str, str] = {}
        for row in _rows(path):
            if "chosen" in row:
                answer, other = row["chosen"], row["rejected"]
                if isinstance(answer, dict):
                    answer, other = answer["value"], other["value"]
                yield path.name, answer, other
            elif "completion" in row:
                prompt = str(row["prompt"])
                if prompt in before:
                    yield path.name, before[prompt], row["completion"]
                before[prompt] = row["completion"]


def _files() -> list[Path]:
    return sorted(path for path in SHARED_DATA.glob("*") if ".jsonl" in path.name)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _strings(value: Any) -> Iterator[str]:
    """All texts inside, except names and other short labels of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
