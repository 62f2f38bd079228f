"""Cached reference values are reused if nothing has changed, and only then."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.training.engine.conftest import (
    make_pairs,
    make_tokenizer,
    read_json,
    read_lines,
    run_engine,
    write_job,
)
from training.engine.config import EXIT_DONE, DpoJob, Lora, Model, Optimisation
from training.engine.forward.reference_cache import ReferenceCache, digest_of

NewRun = Callable[..., Path]


@pytest.fixture(scope="module")
def first(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished round, and the cache that it left."""

    from tests.training.engine.conftest import write_lines

    root = tmp_path_factory.mktemp("rounds")
    folder = root / "first"
    folder.mkdir()
    write_job(job(base, root / "cache"), folder)
    write_lines(folder / "pairs.jsonl", make_pairs(12, held_out=2))
    assert run_engine("dpo", folder) == EXIT_DONE
    return folder, root / "cache"


def job(base: Path, cache: Path, **changes: Any) -> DpoJob:
    settings = DpoJob(
        model=Model(base=str(base)),
        lora=Lora(r=4, alpha=8),
        optimisation=Optimisation(learning_rate=1e-2, epochs=1, batch_size=8),
        reference_cache=str(cache),
    )
    return dataclasses.replace(settings, **changes)


def cached(folder: Path) -> int:
    return int(read_json(folder / "result.json")["reference_cached"])


def test_the_next_round_finds_them_and_ends_the_same(
    first: tuple[Path, Path], base: Path, new_run: NewRun
) -> None:
    folder, cache = first
    assert cached(folder) == 0
    again = new_run("again", job(base, cache), pairs=make_pairs(12, held_out=2))
    assert run_engine("dpo", again) == EXIT_DONE
    assert cached(again) == 24
    sha = read_json(again / "result.json")["adapter_sha256"]
    assert sha == read_json(folder / "result.json")["adapter_sha256"]
    row = read_lines(again / "metrics.jsonl")[-1]["values"]
    assert row["reference_cached_share"] == 1.0


def test_only_what_is_new_is_scored(first: tuple[Path, Path], base: Path, new_run: NewRun) -> None:
    more = new_run("more", job(base, first[1]), pairs=make_pairs(15))
    assert run_engine("dpo", more) == EXIT_DONE
    assert cached(more) == 24


def change_adapter(base: Path, tmp_path: Path, first: Path) -> dict[str, Any]:
    return {"reference_adapter": str(first / "adapter")}


def change_weights(base: Path, tmp_path: Path, first: Path) -> dict[str, Any]:
    from tests.training.engine.conftest import make_model

    shutil.copytree(base, tmp_path / "base")
    make_model(tmp_path / "base", 340, seed=1)
    return {"model": Model(base=str(tmp_path / "base"))}


def change_template(base: Path, tmp_path: Path, first: Path) -> dict[str, Any]:
    from tests.training.engine.conftest import CHATML

    shutil.copytree(base, tmp_path / "base")
    make_tokenizer(tmp_path / "base", template=CHATML + "{# another #}")
    return {"model": Model(base=str(tmp_path / "base"))}


def change_precision(base: Path, tmp_path: Path, first: Path) -> dict[str, Any]:
    return {"precision": "bf16"}


@pytest.mark.parametrize(
    "change", [change_adapter, change_weights, change_template, change_precision]
)
def test_a_changed_setting_misses(
    change: Callable[..., dict[str, Any]],
    first: tuple[Path, Path],
    base: Path,
    new_run: NewRun,
    tmp_path: Path,
) -> None:
    changed = job(base, first[1], **change(base, tmp_path, first[0]))
    folder = new_run("changed", changed, pairs=make_pairs(12, held_out=2))
    assert run_engine("dpo", folder) == EXIT_DONE
    assert cached(folder) == 0


def test_a_changed_layout_version_misses(
    first: tuple[Path, Path], base: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.engine.runtime import versions

    monkeypatch.setattr(versions, "LAYOUT_VERSION", -1)
    folder = new_run("version", job(base, first[1]), pairs=make_pairs(12, held_out=2))
    assert run_engine("dpo", folder) == EXIT_DONE
    assert cached(folder) == 0


def test_tokens_and_the_prompts_end_are_in_the_key() -> None:
    digests = {
        digest_of(prompt, branch)
        for prompt, branch in [([1, 2], [3]), ([1], [2, 3]), ([1, 2], [4]), ([1, 2, 3], [])]
    }
    assert len(digests) == 4


def test_values_come_back_exactly_and_damaged_parts_do_not(tmp_path: Path) -> None:
    setting = {"base": "x"}
    digests = [digest_of([i], [i]) for i in range(4)]
    values = [-1 / 3, -2e-17, -1e5, 0.0]
    ReferenceCache(tmp_path, setting).put(digests[:2], values[:2])
    ReferenceCache(tmp_path, setting).put(digests, values)
    again = ReferenceCache(tmp_path, setting)
    assert [again.get(digest) for digest in digests] == values
    assert ReferenceCache(tmp_path, {"base": "y"}).get(digests[0]) is None

    parts = sorted(tmp_path.rglob("*.npy"), key=lambda p: p.stat().st_size)
    assert len(parts) == 2
    parts[0].write_bytes(parts[0].read_bytes()[:-1] + b"\1")
    damaged = ReferenceCache(tmp_path, setting)
    assert sum(damaged.get(digest) is not None for digest in digests) == 2


def test_broken_values_are_not_kept(tmp_path: Path) -> None:
    ReferenceCache(tmp_path, {}).put([digest_of([1], [2])], [float("nan")])
    assert ReferenceCache(tmp_path, {}).get(digest_of([1], [2])) is None
