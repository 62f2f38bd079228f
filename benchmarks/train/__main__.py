"""``python -m benchmarks.train``: DPO training, ours and TRL's in turn, on the same machine.

Three sets (HH-harmless, ShareGPT-style chat, long prompts), four runs each: ours with an empty
reference cache, ours again with the cache that it left, TRL at its fastest fair setting, TRL
with its defaults. Every run is a process of its own; optimizer steps, batch size, LoRA and
learning rate are the same for all. The last line printed is one JSON object of ratios; figures
go into ``--out``. Data comes from ``--data`` and a set that is not there is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.train.data import (
    SHAPES,
    chat_pairs,
    drawn,
    fitting,
    hh_pairs,
    long_pairs,
    make_base,
    texts_of,
)

ROOT = Path(__file__).resolve().parents[2]
BATCH = 8  # TRL's default
# Longer pairs are left out: TRL drops some of them and cuts others at the end, the engine cuts
# the prompt's beginning, and then the two would train on different things.
MAX_LENGTH = {"hh": 1024, "chat": 2048, "long": 2560}
Result = dict[str, Any]


def main() -> None:
    options = _options()
    if options.gpu and not Path("/dev/nvidiactl").exists():
        raise SystemExit("There is no GPU on this machine: nothing was measured.")
    with tempfile.TemporaryDirectory(prefix="bench-train-") as name:
        work = Path(name)
        sets = _prepare(work, options)
        results = {key: _measure(work / key, len(rows), options) for key, rows in sets.items()}
    summary = summarise(results)
    if options.out:
        report = {"machine": _machine(options.threads), "shape": shape_of(options), "runs": results}
        options.out.write_text(json.dumps({**report, "summary": summary}, indent=1) + "\n")
    for key, runs in results.items():
        times = {label: runs[label]["cpu_seconds"] / runs["ours"]["cpu_seconds"] for label in runs}
        print(
            f"{key}: processor time against ours: { ({k: round(v, 2) for k, v in times.items()}) }"
        )
    print(json.dumps(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.train", description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--hh", type=int, default=256, help="pairs; 0 leaves the set out")
    parser.add_argument("--chat", type=int, default=48)
    parser.add_argument("--long", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shape", choices=SHAPES, default="20M")
    parser.add_argument("--changes", default="{}", help="JSON: changes to the shape")
    parser.add_argument("--gpu", action="store_true", help="refuse to run without a GPU")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU, bf16, dense")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def shape_of(options: argparse.Namespace) -> Result:
    return {**SHAPES[options.shape], **json.loads(options.changes)}


def _prepare(work: Path, options: argparse.Namespace) -> dict[str, list[Result]]:
    """Base model and data folders; the sets that there are."""
    sets: dict[str, list[Result]] = {}
    readers: dict[str, Callable[[Path], list[Result]]] = {"hh": hh_pairs, "chat": chat_pairs}
    texts: list[Result] = []
    for key, read in readers.items():
        try:
            sets[key] = read(options.data)
            texts += sets[key]  # the tokenizer learns from all of it
        except FileNotFoundError as error:
            print(f"{key}: left out, {error.filename} is not there", flush=True)
    texts = texts or _made_up()
    tokenizer = make_base(work / "base", texts_of(texts), shape_of(options))
    sets = {
        key: drawn(fitting(tokenizer, rows, MAX_LENGTH[key]), getattr(options, key))
        for key, rows in sets.items()
    }
    sets["long"] = long_pairs(tokenizer, options.long)
    sets = {key: rows for key, rows in sets.items() if rows}
    for key, rows in sets.items():
        folder = work / key
        folder.mkdir()
        lines = (json.dumps({"id": str(i), **row}) + "\n" for i, row in enumerate(rows))
        (folder / "pairs.jsonl").write_text("".join(lines), encoding="utf-8")
        task = {
            "base": str(work / "base"),
            "threads": options.threads,
            "batch_size": BATCH,
            "max_length": MAX_LENGTH[key],
        }
        (folder / "task.json").write_text(json.dumps(task))
    return sets


def _made_up() -> list[Result]:
    """Words for the tokenizer where no data is there at all."""
    import random

    rng = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(rng.choices(letters, k=rng.randint(2, 8))) for _ in range(20_000)]
    text = " ".join(vocabulary)
    message = [{"role": "user", "content": text}]
    return [{"prompt": message, "chosen": message, "rejected": message}]


def _measure(folder: Path, pairs: int, options: argparse.Namespace) -> dict[str, Result]:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    results: dict[str, Result] = {}
    for label, who in (
        ("ours", "ours"),
        ("warm", "ours"),
        ("best", "best"),
        ("default", "default"),
    ):
        began = time.monotonic()
        results[label] = _run(who, folder, options.threads)
        result = results[label]
        scoring = result.get("reference_seconds")
        print(
            f"{folder.name:5} {label:8} {result['seconds']:8.1f} s "
            f"{pairs / result['seconds']:7.2f} pairs/s {result['cpu_seconds']:8.1f} s of CPU "
            f"{result['peak_mib']:7.0f} MiB"
            + (f"  (scoring the reference: {scoring:.1f} s)" if scoring is not None else "")
            + f"  [process: {time.monotonic() - began:.0f} s]",
            flush=True,
        )
        if options.gpu and who == "ours":
            busy = flops(result, shape_of(options)) / result["seconds"] / options.peak_tflops / 1e12
            print(f"      model FLOP utilisation of the whole run: {busy:.1%}", flush=True)
    return results


def flops(run: Result, shape: Result) -> float:
    """What the run's tokens need: two a weight and token forward, as many for the backward pass.

    Frozen weights take no gradient. Attention and the head are left out, so this is a little
    too low; the reference is counted where it was scored.
    """
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    heads = shape["num_key_value_heads"] / shape["num_attention_heads"]
    layer = width * width * (2 + 2 * heads) + 3 * width * inner
    passes = 2 if run["reference_cached"] else 3
    return float(2 * passes * layer * shape["num_hidden_layers"] * run["tokens"])


def _run(who: str, folder: Path, threads: int) -> Result:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.train.one", who, str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{who} on {folder.name} failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def summarise(results: dict[str, dict[str, Result]]) -> dict[str, float | None]:
    """The ratios of the last line; None where a set was left out."""

    def ratio(key: str, peer: str, ours: str = "ours", of: str = "seconds") -> float | None:
        if key not in results:
            return None
        return round(results[key][peer][of] / results[key][ours][of], 2)

    gaps = [
        abs(a - b)
        for runs in results.values()
        if runs["ours"]["dtype"] == "float32"
        for a, b in zip(runs["ours"]["reference"], runs["best"]["reference"], strict=True)
    ]
    return {
        "hh_vs_default": ratio("hh", "default"),
        "hh_vs_best": ratio("hh", "best"),
        "chat_vs_default": ratio("chat", "default"),
        "chat_vs_best": ratio("chat", "best"),
        "long_vs_default": ratio("long", "default"),
        "long_vs_best": ratio("long", "best"),
        "hh_vs_best_warm": ratio("hh", "best", ours="warm"),
        # Ours / the smaller of TRL's two: below 1 is less memory than either.
        "peak_memory_ratio_hh": _memory_ratio(results["hh"]) if "hh" in results else None,
        "max_logp_diff": max(gaps) if gaps else None,
    }


def _memory_ratio(runs: dict[str, Result]) -> float:
    least = min(runs["best"]["peak_mib"], runs["default"]["peak_mib"])
    return round(float(runs["ours"]["peak_mib"] / least), 3)


def _machine(threads: int) -> dict[str, Any]:
    from importlib.metadata import version

    packages = ("torch", "transformers", "peft", "trl")
    return {
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        **{name: version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
