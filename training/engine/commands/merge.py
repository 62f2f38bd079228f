"""A "merge" job: the adapter added into its base, as a model that needs neither us nor peft.

Knows nothing of training or sampling.
"""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path

import torch
from peft import PeftModel

from training.engine.config import EngineJob, MergeJob
from training.engine.errors import EngineError
from training.engine.model import adapters
from training.engine.runtime import device as capability
from training.engine.runtime.process import StopRequest
from training.engine.runtime.run_dir import RunDir, publish_folder, sha256_of
from training.engine.runtime.versions import versions

FOLDER = "merged"
log = logging.getLogger("engine")


def run(job: EngineJob, run: RunDir, stop: StopRequest) -> None:
    """Write ``merged/`` in safetensors, in shards where it is big, then ``result.json``.

    Computed on the CPU: adding two matrices a layer gains nothing from a GPU, and rounds keep it.
    The sum is formed in float32 and then rounded to the number format that the base has on disk,
    or to the one that is asked for.
    """
    if not isinstance(job, MergeJob):
        raise TypeError(job)
    began = time.monotonic()
    device = torch.device("cpu")
    run.phase("loading the model")
    stored = _stored_dtype(job)
    base = adapters.load_base(job.model, torch.float32, device)
    stop.check()
    model = adapters.add_adapter(base, job.adapter, adapters.TRAINED)
    if not isinstance(model, PeftModel):
        raise TypeError(model)
    run.phase("merging")
    merged = model.merge_and_unload()
    for name, value in merged.named_parameters():
        if not torch.isfinite(value).all():
            raise EngineError(
                "not_finite",
                f"The merged model has values that are not finite ({name})",
                "The adapter or its base is broken; train another round.",
            )
    stop.check()
    merged = merged.to(stored)
    run.phase("publishing")
    temporary = run.path / f".{FOLDER}.tmp"
    for leftover in (temporary, run.path / FOLDER):  # of an attempt that died before its result
        shutil.rmtree(leftover, ignore_errors=True)
    merged.save_pretrained(temporary, safe_serialization=True, max_shard_size=job.shard_size)
    tokenizer = adapters.load_tokenizer(job.model)
    tokenizer.save_pretrained(temporary)
    files = {
        path.relative_to(temporary).as_posix(): sha256_of(path)
        for path in sorted(temporary.rglob("*"))
        if path.is_file()
    }
    publish_folder(temporary, run.path / FOLDER)
    run.result(
        files=files,
        bytes=sum(path.stat().st_size for path in (run.path / FOLDER).rglob("*")),
        adapter_sha256=adapters.adapter_sha256(Path(job.adapter)),
        versions=versions(),
        seconds=round(time.monotonic() - began, 3),
        dtype=str(stored).removeprefix("torch."),
    )
    log.info("%d files in %s", len(files), FOLDER)
    run.phase("done")


def _stored_dtype(job: MergeJob) -> torch.dtype:
    """The number format that is written."""
    if job.precision != "auto":
        return capability.compute_dtype(job.precision, torch.device("cpu"))
    dtype = adapters.stored_dtype(job.model)
    return dtype if dtype.is_floating_point else torch.float32
