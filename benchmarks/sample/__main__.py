"""``python -m benchmarks.sample``: sampling, ours and transformers' two ways, on one machine.

Real prompts × policies × samples, on the built-in model and on a shape of 100 million random
weights, each with three adapters of random weights. Every run is a process of its own: ours (the
engine's own command), ``generate`` as its documentation shows it, ``generate_batch`` (continuous
batching). Then one greedy answer to each prompt, ours and ``generate``'s, which must be the same
texts. The last line printed is one JSON object: by how much ours is faster at least, over the
models, and whether all greedy texts were identical. Data comes from ``--data``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sample.data import DEMO, make_adapters, make_random_base, prompts_of

ROOT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]
# Given to generate_batch: at its defaults it takes most of the memory for its cache, and computes
# masks over all of it.
BATCHING = {"page_size": 64, "num_blocks": 400, "max_batch_tokens": 256}


def main() -> None:
    options = _options()
    results: dict[str, dict[str, Result]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-sample-") as name:
        for model in options.models.split(","):
            results[model] = _measure(model, Path(name) / model, options)
    summary = summarise(results)
    if options.out:
        report = {"machine": _machine(options), "runs": results, "summary": summary}
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.sample", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--models", default="demo,100M", help="of demo and 100M")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--prompt-tokens", type=int, default=380, help="longer ones are left out")
    parser.add_argument("--policies", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--new-tokens", type=int, default=112, help="for the built-in model")
    parser.add_argument("--new-tokens-100m", type=int, default=64)
    parser.add_argument("--greedy", type=int, default=200, help="prompts; 0 leaves it out")
    parser.add_argument("--greedy-100m", type=int, default=24)
    parser.add_argument("--rows", type=int, default=128, help="ours: answers at the same time")
    parser.add_argument("--peer-rows", type=int, default=32, help="rows of generate's batches")
    parser.add_argument("--batching", type=json.loads, default=BATCHING, help="JSON")
    parser.add_argument("--peers", default="generate,batching", help="those to run")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _measure(model: str, folder: Path, options: argparse.Namespace) -> dict[str, Result]:
    folder.mkdir()
    base = DEMO
    if model != "demo":
        base = folder / "base"
        make_random_base(base, options.data)
    small = model == "demo"
    task = {
        "base": str(base),
        "adapters": make_adapters(base, folder, options.policies),
        "prompts": prompts_of(options.data, options.prompts, options.prompt_tokens),
        "samples": options.samples,
        "new_tokens": options.new_tokens if small else options.new_tokens_100m,
        "rows": options.rows,
        "peer_rows": options.peer_rows,
        "batching": options.batching,
        "threads": options.threads,
        "greedy": False,
    }
    peers = [peer for peer in options.peers.split(",") if peer]
    results = {who: _run(model, who, folder, task) for who in ["ours", *peers]}
    greedy = options.greedy if small else options.greedy_100m
    if greedy:
        greedy_task = {**task, "greedy": True, "samples": 1, "prompts": task["prompts"][:greedy]}
        for who in ("ours", "generate"):
            results[f"greedy {who}"] = _run(model, who, folder, greedy_task)
        mine, theirs = (results[f"greedy {who}"]["texts"] for who in ("ours", "generate"))
        different = [key for key in theirs if mine.get(key) != theirs[key]]
        results["greedy ours"]["different"] = different
        print(f"{model:5} greedy: {len(different)} of {len(theirs)} texts differ", flush=True)
    for result in results.values():
        del result["texts"]
    return results


def _run(model: str, who: str, folder: Path, task: Result) -> Result:
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(task["threads"]),
        "OMP_WAIT_POLICY": "PASSIVE",  # as the engine is started
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sample.one", who, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{who} on {model} failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    print(
        f"{model:5} {'greedy' if task['greedy'] else 'drawn':6} {who:9} "
        f"{result['seconds']:8.1f} s {result['cpu_seconds']:8.1f} s of CPU "
        f"{result['completions']:6d} answers {result['tokens']:8d} tokens "
        f"{result['tokens'] / result['seconds']:8.0f} tokens/s {result['peak_mib']:7.0f} MiB",
        flush=True,
    )
    return result


def summarise(results: dict[str, dict[str, Result]]) -> dict[str, Any]:
    """The least ratio of tokens a second over the models; None where a peer was left out.

    Tokens, not answers: where texts are drawn, nobody writes as many tokens as anybody else.
    """

    def speed(result: Result) -> float:
        return float(result["tokens"] / result["seconds"])

    def least(peer: str) -> float | None:
        ratios = [speed(r["ours"]) / speed(r[peer]) for r in results.values() if peer in r]
        return round(min(ratios), 2) if ratios else None

    greedy = [r["greedy ours"]["different"] for r in results.values() if "greedy ours" in r]
    return {
        "vs_generate": least("generate"),
        "vs_continuous_batching": least("batching"),
        "identical_greedy": not any(greedy) if greedy else None,
    }


def _machine(options: argparse.Namespace) -> Result:
    from importlib.metadata import version

    return {
        "processor": platform.processor() or platform.machine(),
        "options": {key: str(value) for key, value in vars(options).items()},
        **{name: version(name) for name in ("torch", "transformers", "peft")},
    }


if __name__ == "__main__":
    main()
