"""A round run again from its row alone, and how the result compares with the first one."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings

from training.engine.config import job_from_dict, write_job
from training.jobs.engine_process import EngineProgress, Instruction, Tail, run_engine
from training.models import Round
from training.storage import artifacts
from training.storage.code_version import code_version

MEASURED = {
    "seconds",
    "tokens_per_second",
    "examples_per_second",
    "computed_tokens_per_second",
    "peak_memory_mib",
    "reference_cached_share",
}
"""Metrics that say how fast it went and not what came of it."""


class ReproduceError(Exception):
    """Why a round cannot be run again, in words."""


@dataclasses.dataclass(frozen=True)
class Repetition:
    """The second run beside the first one."""

    adapter: str
    adapter_again: str
    tensors: int
    different: list[dict[str, Any]]  # {"name", "most"}
    metrics: int
    metrics_different: list[tuple[int, str, float | None, float | None]]  # step, name, first, again
    warnings: list[str]

    @property
    def is_equal(self) -> bool:
        return self.adapter == self.adapter_again and not self.metrics_different


def run_again(
    *, round_: Round, run_dir: Path, tell: Callable[[EngineProgress], None] = lambda _: None
) -> Repetition:
    """Train ``round_`` again in ``run_dir``, which must be empty or absent, and compare.

    Nothing of the round's first run is used but its row, its snapshot and the adapters that it
    names. Raises ReproduceError where they are not what they were, or the engine fails.
    """
    if round_.policy is None:
        raise ReproduceError(
            f"Round {round_.number} {round_.state}: there is no result to compare with."
        )
    if run_dir.exists() and any(run_dir.iterdir()):
        raise ReproduceError(f"{run_dir} is not empty. Name another folder.")
    _prepare(round_, run_dir)

    def follow(progress: EngineProgress) -> Instruction:
        tell(progress)
        return "go on"

    ending = run_engine(
        kind=round_.kind,
        run_dir=run_dir,
        follow=follow,
        threads=int(round_.provenance.get("threads", 0)),
    )
    if ending.result is None:
        raise ReproduceError(ending.words())
    return _compare(round_, run_dir, ending.result)


def warnings_before(round_: Round) -> list[str]:
    """What is known to differ before anything is run: code and libraries."""
    if not round_.provenance:
        return ["The round is from before its origins were written down: only hashes are compared."]
    warnings = []
    for name, first in round_.provenance["libraries"].items():
        try:
            now = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # python and cuda are compared afterwards
        if now != first:
            warnings.append(f"{name} was {first} and is {now}.")
    first = round_.provenance["code"]
    if first != code_version():
        warnings.insert(0, f"The code was {first} and is {code_version()}.")
    elif first.endswith("+changes"):
        warnings.insert(0, f"The code was {first}: changes that no commit holds may differ.")
    return warnings


def warnings_after(first: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """What differed between the two runs, by what they wrote down of themselves."""
    if not first:
        return []
    warnings = []
    for part in ("libraries", "hardware"):
        for name in sorted(first[part].keys() | again[part].keys()):
            before, now = first[part].get(name), again[part].get(name)
            if before != now and name not in ("platform",):
                warnings.append(f"{name} was {before} and is {now}.")
    for name in ("threads", "processes"):
        if first[name] != again[name]:
            warnings.append(f"{name.capitalize()}: {first[name]} before, {again[name]} now.")
    for part in first.get("earlier_parts", []):
        warnings.append(
            f"The first run began with code {part['code']} on {part['hardware']['cpu']}, "
            f"{part['threads']} threads, and went on elsewhere."
        )
    if again["hardware"]["device"] != "cpu":
        warnings.append("On a GPU the same run may end with other last bits.")
    return warnings


def _prepare(round_: Round, run_dir: Path) -> None:
    """The run directory as the row describes it. What is not what it was is refused."""
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        config = artifacts.localised(round_.config)
        shutil.copyfile(round_.snapshot.file, run_dir / "pairs.jsonl")
    except artifacts.ArtifactError as error:
        raise ReproduceError(str(error)) from error
    # Values that earlier rounds had worked out were found in the cache, and must be again: they
    # were computed beside others. A round that found none has to work them out again, too.
    if not round_.result.get("reference_cached"):
        config["reference_cache"] = None
    write_job(job_from_dict(config), run_dir)
    expected = {"data": round_.snapshot.sha256, **round_.provenance.get("inputs", {})}
    (run_dir / "expected.json").write_text(json.dumps(expected), encoding="utf-8")


def _compare(round_: Round, run_dir: Path, result: dict[str, Any]) -> Repetition:
    first, again = round_.result["adapter_sha256"], result["adapter_sha256"]
    weights: dict[str, Any] = {"tensors": 0, "different": []}
    if first != again and round_.policy is not None:
        before = artifacts.local_adapter(round_.policy.adapter_path)
        weights = _differences(before, run_dir / "adapter")
    count, different = _metrics(round_, run_dir)
    warnings = warnings_after(round_.provenance, result["provenance"])
    return Repetition(
        adapter=first,
        adapter_again=again,
        tensors=weights["tensors"],
        different=weights["different"],
        metrics=count,
        metrics_different=different,
        warnings=warnings,
    )


def _differences(first: Path, other: Path) -> dict[str, Any]:
    """Asked of the engine, in a process of its own: reading weights needs its libraries."""
    done = subprocess.run(
        [sys.executable, "-m", "training.engine.model.compare", str(first), str(other)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ReproduceError(f"The two adapters could not be compared: {done.stderr.strip()}")
    return dict(json.loads(done.stdout))


def _metrics(
    round_: Round, run_dir: Path
) -> tuple[int, list[tuple[int, str, float | None, float | None]]]:
    """How many numbers were compared, and those that differ."""
    again: dict[tuple[int, str], float] = {}
    for line in Tail(run_dir / "metrics.jsonl").read():
        for name, value in line["values"].items():
            again[line["step"], f"{line['split']}/{name}"] = value
    before = {(m.step, m.name): m.value for m in round_.metrics.all()}
    keys = [key for key in sorted(before.keys() | again.keys()) if _counts(key[1])]
    return len(keys), [
        (*key, before.get(key), again.get(key)) for key in keys if before.get(key) != again.get(key)
    ]


def _counts(name: str) -> bool:
    return name.rpartition("/")[2] not in MEASURED


def lines(comparison: Repetition) -> Iterator[str]:
    """The comparison in words, a line at a time."""
    c = comparison
    yield from (f"Note: {warning}" for warning in c.warnings)
    if c.adapter == c.adapter_again:
        yield f"The adapter is equal, bit for bit (SHA-256 {c.adapter})."
    else:
        yield f"The adapter differs: {len(c.different)} of {c.tensors} tensors."
        for tensor in c.different:
            most = tensor["most"]
            how = "another shape or number format" if most is None else f"by up to {most:.3g}"
            yield f"  {tensor['name']}: {how}"
    if not c.metrics_different:
        yield f"All {c.metrics} numbers that were measured on the way are equal."
    else:
        yield f"{len(c.metrics_different)} of {c.metrics} numbers differ, the first of them:"
        for step, name, first, again in c.metrics_different[:5]:
            yield f"  {name} at step {step}: {first} before, {again} now"
