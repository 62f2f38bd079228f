"""One trainer, one data set, in a process of its own: ``python -m benchmarks.train.one WHO DIR``.

WHO is ``ours``, ``default`` (TRL's DPOTrainer as it comes) or ``best`` (TRL at its fastest fair
setting). DIR holds ``task.json`` and ``pairs.jsonl``. The last line printed is JSON: seconds of
the whole (model loaded from disk, tokens made, reference scored, trained), the part that scored
the reference, peak memory, and the reference's log-probabilities where they can be had.
Libraries are imported before the clock starts, for all alike.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch

BETA, RANK, ALPHA, RATE = 0.1, 16, 32, 1e-4


def main() -> None:
    who, folder = sys.argv[1], Path(sys.argv[2])
    task = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(task["threads"])
    result = ours(folder, task) if who == "ours" else trl(folder, task, best=who == "best")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if torch.cuda.is_available():
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({**result, "peak_mib": peak}))


def ours(folder: Path, task: dict[str, Any]) -> dict[str, Any]:
    """The engine's own command, from job.json to result.json; its cache may be warm."""
    from training.engine.__main__ import run_job
    from training.engine.commands.train import run as _imported  # noqa: F401
    from training.engine.config import DpoJob, Lora, Model, Optimisation, write_job

    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    run.mkdir()
    (run / "pairs.jsonl").write_bytes((folder / "pairs.jsonl").read_bytes())
    job = DpoJob(
        model=Model(base=task["base"]),
        beta=BETA,
        lora=Lora(r=RANK, alpha=ALPHA),
        optimisation=Optimisation(
            learning_rate=RATE,
            batch_size=task["batch_size"],
            max_length=task["max_length"],
            warmup_fraction=0.0,
            checkpoint_fraction=1.0,
        ),
        reference_cache=str(folder / "cache"),
    )
    write_job(job, run)
    began, cpu = time.monotonic(), time.process_time()
    if run_job("dpo", run) != 0:
        raise SystemExit((run / "error.json").read_text())
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    result = json.loads((run / "result.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "reference_seconds": result["reference_seconds"],
        "reference_cached": result["reference_cached"],
        "dtype": result["dtype"],
        "layout": result["layout"],
        "tokens": sum(line["values"]["computed_tokens"] for line in lines),
        "losses": [line["values"]["loss"] for line in lines],
        "reference": _our_reference(folder, task),
    }


def _our_reference(folder: Path, task: dict[str, Any]) -> list[float]:
    """The values in the cache, two a pair, in the order of the file."""
    from training.engine.config import Model
    from training.engine.data.chat import Chat
    from training.engine.data.pairs import read_pairs
    from training.engine.forward.reference_cache import ReferenceCache, digests_of
    from training.engine.model import adapters

    chat = Chat(adapters.load_tokenizer(Model(base=task["base"])))
    trees = chat.pair_trees(read_pairs(folder / "pairs.jsonl"), task["max_length"])
    (setting,) = (folder / "cache").glob("*/setting.json")
    cache = ReferenceCache(folder / "cache", json.loads(setting.read_text()))
    return [cache.get(digest) or 0.0 for digest in digests_of(trees)]


def trl(folder: Path, task: dict[str, Any], *, best: bool) -> dict[str, Any]:
    """TRL's DPOTrainer. ``best``: what is fair and makes it faster on this machine."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    from training.engine.runtime.device import cpu_multiplies_bf16

    cuda = torch.cuda.is_available()
    bf16 = cuda or cpu_multiplies_bf16()
    settings: dict[str, Any] = {"bf16": True}
    if best:
        settings = {
            "bf16": bf16,
            "gradient_checkpointing": False,
            "precompute_ref_log_probs": True,
            "precompute_ref_batch_size": 16,
            "train_sampling_strategy": "group_by_length",
            "remove_unused_columns": False,
        }
    began, cpu = time.monotonic(), time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(task["base"])
    rows = load_dataset(
        "json",
        data_files=str(folder / "pairs.jsonl"),
        split="train",
        cache_dir=str(folder / f"datasets-{best}"),
    ).select_columns(["prompt", "chosen", "rejected"])
    if best:

        def measured(row: dict[str, Any]) -> dict[str, int]:
            conversations = (row["prompt"] + row[side] for side in ("chosen", "rejected"))
            texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in conversations]
            return {"length": max(len(tokenizer(text)["input_ids"]) for text in texts)}

        rows = rows.map(measured)
    dtype = torch.bfloat16 if best and bf16 else torch.float32
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(task["base"], dtype=dtype),
        args=DPOConfig(
            output_dir=str(folder / "trl"),
            beta=BETA,
            learning_rate=RATE,
            num_train_epochs=1,
            per_device_train_batch_size=task["batch_size"],
            max_length=task["max_length"],
            report_to="none",
            save_strategy="no",
            use_cpu=not cuda,
            disable_tqdm=True,
            logging_steps=1,
            **settings,
        ),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, target_modules="all-linear"
        ),
    )
    trainer.train()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    columns = trainer.train_dataset.column_names
    reference = []
    if best and "ref_chosen_logps" in columns:
        reference = [
            float(row[f"ref_{side}_logps"])
            for row in trainer.train_dataset
            for side in ("chosen", "rejected")
        ]
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "dtype": str(dtype),
        "losses": losses,
        "reference": reference,
    }


if __name__ == "__main__":
    main()
