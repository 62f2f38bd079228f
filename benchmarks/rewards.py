"""How often a reward model and a policy's implicit reward agree with choices on held-out pairs.

``python -m benchmarks.rewards [PAIRS.jsonl]``: both are trained by the engine from the built-in
model on the same pairs. Without a file these are two answers each to 400 questions of the demo's
world, chosen between by its rules, with 5 % of the choices turned round. A file has the engine's
own lines ("prompt", "chosen", "rejected" as messages, "split").
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from training.demo import MODEL_DIR, manners, world

ROOT = Path(__file__).resolve().parent.parent
JOBS: dict[str, dict[str, Any]] = {
    "reward": {"optimisation": {"learning_rate": 2e-3}},
    "dpo": {"optimisation": {"learning_rate": 1e-3}, "beta": 0.1},
}
COMMON = {"epochs": 2.0, "batch_size": 16, "eval_fraction": 0.5, "checkpoint_fraction": 1.0}
WRONG = 0.05


def demo_pairs(seed: int = 5) -> list[dict[str, Any]]:
    """Pairs of the demo's world; every fourth question is held out."""
    rng = random.Random(seed)
    asked = world.prompts()
    rng.shuffle(asked)
    shares = list(world.MANNERS.values())
    pairs = []
    for number, prompt in enumerate(asked[:400]):
        messages = list(prompt.messages)
        for draw in range(2):
            first, other = (
                world.answer(prompt, rng.choices(list(world.MANNERS), weights=shares)[0], rng)
                for _ in range(2)
            )
            outcome = manners.better(messages, first, other)
            if outcome not in ("a", "b"):
                continue
            if (outcome == "b") != (rng.random() < WRONG):
                first, other = other, first
            pairs.append(
                {
                    "id": f"{number}-{draw}",
                    "prompt": messages,
                    "chosen": [{"role": "assistant", "content": first}],
                    "rejected": [{"role": "assistant", "content": other}],
                    "split": "train" if number % 4 else "held_out",
                }
            )
    return pairs


def run(kind: str, folder: Path, lines: str) -> list[tuple[int, float]]:
    """Train; held-out accuracy by step."""
    folder.mkdir()
    settings = JOBS[kind]["optimisation"] | COMMON
    job = {**JOBS[kind], "kind": kind, "model": {"base": str(MODEL_DIR)}, "optimisation": settings}
    (folder / "job.json").write_text(json.dumps(job))
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    command = [sys.executable, "-m", "training.engine", kind, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    metrics = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [
        (row["step"], row["values"]["reward_accuracy"])
        for row in metrics
        if row["split"] == "held_out"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="?", type=Path)
    options = parser.parse_args()
    if options.pairs:
        lines = options.pairs.read_text(encoding="utf-8")
    else:
        lines = "".join(json.dumps(pair) + "\n" for pair in demo_pairs())
    count = sum(json.loads(line)["split"] == "held_out" for line in lines.splitlines())
    results = {}
    with tempfile.TemporaryDirectory() as home:
        for kind in JOBS:
            for step, accuracy in run(kind, Path(home) / kind, lines):
                ends = binomtest(round(accuracy * count), count).proportion_ci(method="wilson")
                print(f"{kind:7} step {step:4}: {accuracy:.1%} ({ends.low:.1%} to {ends.high:.1%})")
                results[kind] = accuracy
    print(json.dumps({"held_out": count, **results}))


if __name__ == "__main__":
    main()
