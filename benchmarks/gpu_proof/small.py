"""The first parts, seconds each: what is here, whether the kernels fit, and one whole round."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import platform
from typing import Any

from benchmarks.gpu_proof import engine_runs, shapes
from benchmarks.gpu_proof.runner import Figures, Setting, in_process
from training.demo import MODEL_DIR
from training.engine.config import (
    DpoJob,
    JudgeJob,
    Lora,
    MergeJob,
    Model,
    Optimisation,
    RewardJob,
    SampleJob,
    Sampling,
    ScoreJob,
)

NEEDED = ("torch", "transformers", "peft", "accelerate", "safetensors", "numpy")
OPTIONAL = ("trl", "datasets", "bitsandbytes", "vllm", "triton")
DEMO = Model(base=str(MODEL_DIR))
# Equal rounds differ on a card: by how much is measured, and others may differ by this many times
# as much.
SPREADS = 3.0


def imports(setting: Setting) -> Figures:
    """Versions, the card and its driver; which optional libraries are here."""
    figures: Figures = {"python": platform.python_version()}
    for name in (*NEEDED, *OPTIONAL):
        if importlib.util.find_spec(name) is None:
            figures[name] = "absent"
        else:
            figures[name] = importlib.metadata.version(name)
    absent = [name for name in NEEDED if figures[name] == "absent"]
    if absent:
        raise RuntimeError(f"needed and not here: {', '.join(absent)}")
    return {**in_process(setting, _card), **figures}


def _card() -> Figures:
    import torch

    import training.engine.commands.train  # noqa: F401  # all that the engine imports

    if not torch.cuda.is_available():
        return {"gpu": None}
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
        "driver": _driver(),
        "bf16": torch.cuda.is_bf16_supported(False),
    }


def _driver() -> str:
    import subprocess

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip().splitlines()[0]


def kernels(setting: Setting) -> Figures:
    """The attention kernel's signature and mask, tried; a recorded step, replayed."""
    return dict(in_process(setting, _kernels, setting.device))


def _kernels(device: str) -> Figures:
    import torch

    from training.engine.forward import tree_attention_cuda

    kernel = tree_attention_cuda._kernel()
    figures: Figures = {
        "varlen_attn": kernel is not None,
        "grouped": kernel is not None and tree_attention_cuda.groups_queries(kernel),
    }
    if device == "cpu":
        return figures
    figures["aligned"] = tree_attention_cuda.aligned(torch.device(device, 0))
    if not figures["aligned"]:
        raise RuntimeError(f"prompts would be attended to by the loop: {figures}")
    figures["graphs"] = _replayed(device)
    return figures


def _replayed(device: str) -> bool:
    import torch

    from training.engine.generate.cuda_graphs import cuda_graph

    x = torch.ones(4, device=device)
    step = cuda_graph(lambda: x * 2)
    x.fill_(3)
    return bool((step() == 6).all())


def whole_round(setting: Setting) -> Figures:
    """The built-in model: trained, stopped and resumed, sampled, scored, judged, merged."""
    pairs, _ = shapes.hh_like(None, 48)
    rows = engine_runs.pairs_file([_short(pair) for pair in pairs], held_out=8)
    lora = Lora(r=8, alpha=16)
    settings = Optimisation(learning_rate=1e-3, epochs=2, batch_size=8, max_length=256)
    job = DpoJob(model=DEMO, lora=lora, optimisation=settings)
    folder = engine_runs.new_run(setting, "whole", job, pairs=rows)
    engine_runs.run(setting, "dpo", folder)
    losses = engine_runs.losses(folder)
    _check(abs(losses[0] - math.log(2)) < 0.02, f"the first loss is {losses[0]}, not ln 2")
    _check(losses[-1] < losses[0], f"the loss did not fall: {losses}")
    layout = engine_runs.result(folder)["layout"]
    _check(layout == "shared", f"prompts were not shared: {engine_runs.result(folder)}")

    cut = engine_runs.new_run(setting, "cut", job, pairs=rows)
    in_process(setting, engine_runs.stopped_at, "dpo", str(cut), 3)
    engine_runs.run(setting, "dpo", cut)
    again = engine_runs.new_run(setting, "again", job, pairs=rows)
    engine_runs.run(setting, "dpo", again)
    spread = furthest(engine_runs.losses(again), losses)
    apart = furthest(engine_runs.losses(cut), losses)
    _check(
        apart < 5e-3 + SPREADS * spread,
        f"stopped and resumed, the losses differ by {apart}; undisturbed ones by {spread}",
    )

    adapters: dict[str, str | None] = {"new": str(folder / "adapter"), "base": None}
    prompts = [
        {"id": f"{name}{i}", "messages": row["prompt"], "policy": name, "seed": i}
        for name in adapters
        for i, row in enumerate(rows[:8])
    ]
    sampling = Sampling(max_new_tokens=24)
    sample = SampleJob(model=DEMO, adapters=adapters, sampling=sampling)
    sampled = engine_runs.new_run(setting, "sampled", sample, prompts=prompts)
    engine_runs.run(setting, "sample", sampled)
    _check(
        engine_runs.result(sampled)["way_reason"] is None,
        f"sampled with generate: {engine_runs.result(sampled)['way_reason']}",
    )
    written = engine_runs.lines(sampled / "completions.jsonl")
    texts = {row["id"]: row for row in written}
    completions = [{**prompt, "text": texts[prompt["id"]]["text"]} for prompt in prompts]
    completions = [row for row in completions if row["text"]]
    for row in completions:
        row.pop("seed")
    scored = engine_runs.new_run(
        setting, "scored", ScoreJob(model=DEMO, adapters=adapters), completions=completions
    )
    engine_runs.run(setting, "score", scored)
    reward = engine_runs.new_run(
        setting,
        "reward",
        RewardJob(model=DEMO, lora=lora, optimisation=settings),
        pairs=rows,
    )
    engine_runs.run(setting, "reward", reward)
    judge = JudgeJob(model=DEMO, adapter=str(reward / "adapter"))
    judged = engine_runs.new_run(setting, "judged", judge, completions=completions)
    engine_runs.run(setting, "judge", judged)
    merge = MergeJob(model=DEMO, adapter=str(folder / "adapter"))
    merged = engine_runs.new_run(setting, "merged", merge)
    engine_runs.run(setting, "merge", merged)
    return {
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "resumed_apart": apart,
        "undisturbed_apart": spread,
        "sampled": len(written),
        "scored": len(engine_runs.lines(scored / "scores.jsonl")),
        "judged": len(engine_runs.lines(judged / "scores.jsonl")),
    }


def furthest(some: list[float], others: list[float]) -> float:
    """The largest difference between two rounds' losses, step by step."""
    return max(abs(a - b) for a, b in zip(some, others, strict=True))


def _short(pair: dict[str, Any]) -> dict[str, Any]:
    """The built-in model holds 512 tokens."""
    return {
        side: [{**m, "content": " ".join(m["content"].split()[:30])} for m in messages]
        for side, messages in pair.items()
    }


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise RuntimeError(message)
