"""``python -m benchmarks.estimate``: a round's estimate beside what the round then took.

Two rounds on this machine: the built-in model, and random weights of a larger shape. Each is
estimated as the round's form does it, then run by the engine as a process of its own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.train.data import make_base
from training.demo import MODEL_DIR, world
from training.engine.config import DpoJob, Lora, Model, Optimisation, write_job
from training.engine.estimate import ON_CPU
from training.estimates.cost_model import (
    STEP,
    Lengths,
    Settings,
    memory_of,
    pace_from_speed,
    seconds_of,
    work_of,
)
from training.estimates.model_shape import shape_of
from training.jobs.hardware import Hardware

LARGER = {
    "vocab_size": 4000,
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 8,
    "num_attention_heads": 12,
    "num_key_value_heads": 12,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = random.Random(0)
        small = _pairs(rng, 160, words=0)
        large = _pairs(rng, 40, words=160)
        (folder / "base").mkdir()
        texts = [row["chosen"][0]["content"] for row in [*small, *large]]
        make_base(folder / "base", iter(texts), LARGER)
        rows = [
            _measure(folder, "built-in", str(MODEL_DIR), small, epochs=3.0),
            _measure(folder, "larger", str(folder / "base"), large, epochs=1.0),
        ]
    print("| shape | memory estimated | measured | error | time estimated | measured | error |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        memory, time = row["memory_mib"], row["seconds"]
        print(
            f"| {row['name']} | {memory[0]:.0f} MiB | {memory[1]:.0f} MiB | {_error(memory)} "
            f"| {time[0]:.0f} s | {time[1]:.0f} s | {_error(time)} |"
        )
    print(json.dumps(rows))


def _measure(
    folder: Path, name: str, base: str, pairs: list[dict[str, Any]], *, epochs: float
) -> dict[str, Any]:
    optimisation = Optimisation(batch_size=8, epochs=epochs, max_length=1024, learning_rate=1e-4)
    job = DpoJob(model=Model(base=base), lora=Lora(), optimisation=optimisation)
    run = folder / name
    run.mkdir()
    write_job(job, run)
    (run / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs), "utf-8")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    subprocess.run(
        [sys.executable, "-m", "training.engine", "dpo", str(run)],
        env=environment,
        check=True,
        stderr=subprocess.DEVNULL,
    )
    result = json.loads((run / "result.json").read_text())
    report = json.loads((run / "machine.json").read_text())
    machine = Hardware(
        host=report["host"],
        device=report["device"],
        devices=len(report["devices"]),
        free_memory=report["free_memory"],
        cores=report["cores"],
        dtype=report["dtype"],
        flops=report["flops"],
    )
    settings, shape = Settings.of(job), shape_of(base, None)
    if settings is None or shape is None:
        raise SystemExit(f"{name}: nothing is known of it")
    lengths = _lengths(base, pairs)
    memory = memory_of(shape, lengths, settings, machine)
    pace = pace_from_speed(shape, machine, checkpointing=memory.checkpointing)
    seconds = seconds_of(work_of(lengths, settings), pace, a_step=STEP)
    return {
        "name": name,
        "memory_mib": [memory.total / 2**20, result["peak_memory_mib"]],
        "seconds": [seconds, result["seconds"]],
        "memory": asdict(memory),
        "shape": asdict(shape),
        "flops": machine.flops,
        "cpu_budget": ON_CPU,
    }


def _lengths(base: str, pairs: list[dict[str, Any]]) -> Lengths:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(base) / "tokenizer.json"))

    def tokens(row: dict[str, Any]) -> tuple[int, int, int]:
        fields = (row[name][0]["content"] for name in ("prompt", "chosen", "rejected"))
        prompt, chosen, rejected = (len(tokenizer.encode(text).ids) for text in fields)
        return prompt + 6, chosen + 2, rejected + 2  # about what a chat template adds

    train = [tokens(row) for row in pairs if row["split"] == "train"]
    held_out = [tokens(row) for row in pairs if row["split"] == "held_out"]
    return Lengths(train, held_out, "tokenizer")


def _pairs(rng: random.Random, count: int, *, words: int) -> list[dict[str, Any]]:
    """Pairs of the demo's world; with ``words``, answers of about that many of its words."""
    asked = rng.sample(world.prompts(), count)
    spoken = [world.answer(prompt, "direct", rng) for prompt in asked]
    vocabulary = " ".join(spoken).split()

    def answer(prompt: world.DemoPrompt, manner: world.Manner) -> str:
        if words:
            return " ".join(rng.choices(vocabulary, k=rng.randint(words // 2, words)))
        return world.answer(prompt, manner, rng)

    return [
        {
            "id": str(number),
            "prompt": [{"role": "user", "content": prompt.messages[-1]["content"]}],
            "chosen": [{"role": "assistant", "content": answer(prompt, "direct")}],
            "rejected": [{"role": "assistant", "content": answer(prompt, "rambling")}],
            "split": "held_out" if number % 5 == 0 else "train",
        }
        for number, prompt in enumerate(asked)
    ]


def _error(pair: list[float]) -> str:
    estimated, measured = pair
    return f"{100 * (estimated / measured - 1):+.0f} %"


if __name__ == "__main__":
    main()
