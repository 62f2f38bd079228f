"""Where a result comes from: code, libraries, hardware, seeds, and the hashes of what went in.

Written beside the adapter and into ``result.json``; compared where a run is to be the same again.
"""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from training.engine.config import DpoJob, TrainJob
from training.engine.errors import EngineError
from training.engine.forward.reference_cache import weights_identity
from training.engine.model.adapters import adapter_sha256, causal_lm
from training.engine.runtime.run_dir import RunDir, sha256_of, write_json

PARTS = "parts.json"
LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")
WORDS = {
    "data": "The pairs",
    "base": "The base model's weights",
    "start_adapter": "The weights of the adapter that it goes on from",
    "reference_adapter": "The weights of the reference's adapter",
}


def inputs_of(job: TrainJob, model: Any, run: RunDir) -> dict[str, str | None]:
    """What went in, by hash: the data's bytes, the base's weights, the adapters' weights."""
    reference = job.reference_adapter if isinstance(job, DpoJob) else None
    return {
        "data": sha256_of(run.path / "pairs.jsonl"),
        "base": weights_identity(job.model.base, causal_lm(model).config),
        "start_adapter": adapter_sha256(Path(job.start_adapter)) if job.start_adapter else None,
        "reference_adapter": adapter_sha256(Path(reference)) if reference else None,
    }


def check_expected(inputs: dict[str, str | None], run: RunDir) -> None:
    """Raise EngineError where ``expected.json`` asks for other inputs; without it, all are fine."""
    path = run.path / "expected.json"
    if not path.exists():
        return
    expected = json.loads(path.read_text(encoding="utf-8"))
    for name, description in WORDS.items():
        if name in expected and expected[name] != inputs[name]:
            raise EngineError(
                "other_inputs",
                f"{description} are not what they were: SHA-256 {inputs[name]}, expected "
                f"{expected[name]}",
                "Nothing was trained. Bring back what the first run had.",
            )


def provenance(
    job: TrainJob, inputs: dict[str, str | None], part: dict[str, Any], before: list[dict[str, Any]]
) -> dict[str, Any]:
    """JSON-ready: what computed the last part, what the parts ``before`` it where that differs,
    the seed and the inputs."""
    return {**part, "earlier_parts": before, "seed": job.seed, "inputs": inputs}


def this_part(device: torch.device, processes: int) -> dict[str, Any]:
    """What computes from here on; ``code`` is what the starting process says it is."""
    return {
        "code": os.environ.get("WHETSTONE_CODE_VERSION", "unknown"),
        "libraries": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
            **({"cuda": str(torch.version.cuda)} if device.type == "cuda" else {}),
        },
        "hardware": hardware(device),
        "threads": torch.get_num_threads(),
        "processes": processes,
    }


def write_parts(checkpoint: Path, before: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Say in a checkpoint what has computed it: ``part``, and those before it."""
    write_json(checkpoint / PARTS, {"parts": [*before, part]})


def parts_of(checkpoint: Path | None) -> list[dict[str, Any]]:
    """What has computed ``checkpoint``, in order; nothing where there is none."""
    if checkpoint is None or not (checkpoint / PARTS).exists():
        return []
    state = json.loads((checkpoint / PARTS).read_text(encoding="utf-8"))
    return list(state["parts"])


def hardware(device: torch.device) -> dict[str, Any]:
    """What computed it, as far as numbers depend on it."""
    report: dict[str, Any] = {
        "device": device.type,
        "platform": platform.platform(),
        "cpu": _cpu(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
    }
    if device.type == "cuda":
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        report["gpus"] = names
    return report


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
