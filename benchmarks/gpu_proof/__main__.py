"""``python3 -m benchmarks.gpu_proof``: is this card fit for rounds, and how fast is it?

Parts run in order, the most important first, each for at most its time; the whole keeps within
--seconds. Figures are written to --out as they come. The last line is JSON. Without a card the
parts that need none run. PARTS are names of parts or of groups, with commas between them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gpu_proof import correct, small, speed, without_card
from benchmarks.gpu_proof.runner import Part, Report, Setting, run_part

PARTS = (
    Part("imports", "small", 60, small.imports),
    Part("kernels", "small", 40, small.kernels),
    Part("round", "small", 120, small.whole_round),
    Part("attention", "correct", 60, correct.attention),
    Part("sampler", "correct", 60, correct.sampler),
    Part("trl", "correct", 60, correct.against_trl),
    Part("train_06b", "speed", 150, speed.train_06b),
    Part("train_8b", "speed", 180, speed.train_8b),
    Part("generate", "speed", 90, speed.generate),
    Part("one_card", "correct", 60, correct.one_card),
    Part("memory", "correct", 60, correct.memory),
    Part("cache", "correct", 40, correct.cache),
    Part("four_bit", "correct", 90, correct.four_bit),
    Part("fake", "no_card", 300, without_card.fake),
    Part("gloo", "no_card", 200, without_card.gloo),
    Part("interpreter", "no_card", 20, without_card.interpreter),
)
LAST_LINE = (
    "gpu",
    "logp_max_diff",
    "grad_rel_l2",
    "hh_vs_default_06b",
    "hh_vs_best_06b",
    "hh_vs_best_8b",
    "mfu_8b",
    "sample_vs_generate",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.gpu_proof", description=__doc__)
    groups = sorted({part.group for part in PARTS})
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--parts", default="", help=f"groups ({', '.join(groups)}) or parts ({', '.join(names)})"
    )
    parser.add_argument("--data", type=Path, help="a folder with hh_harmless_pairs.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("gpu-proof"), help="for figures and logs")
    parser.add_argument("--work", type=Path, help="for models and runs; removed at the end")
    parser.add_argument("--seconds", type=float, default=570, help="for everything together")
    parser.add_argument(
        "--rehearse", action="store_true", help="try the script itself, on a CPU and tiny shapes"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    card = has_card()
    chosen = choose(options.parts, has_card=card, rehearses=options.rehearse)
    unknown = set(filter(None, options.parts.split(","))) - {*groups, *names}
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="gpu-proof-", dir=options.work))
    device = "cpu" if options.rehearse or not card else "cuda"
    setting = Setting(out=options.out.resolve(), work=work, data=options.data, device=device)
    if not card and not options.rehearse:
        print("No CUDA card here: running the checks that need none.", flush=True)
    report = Report(options.out)
    try:
        for part in chosen:
            left = options.seconds - (time.monotonic() - began)
            if left < 5:
                report.add(part.name, "no time", 0.0, {}, "")
                continue
            run_part(part, setting, report, left)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    line = last_line(report)
    (options.out / "last-line.json").write_text(json.dumps(line) + "\n", encoding="utf-8")
    print(json.dumps(line))
    return 1 if report.failures else 0


def choose(asked: str, *, has_card: bool, rehearses: bool) -> list[Part]:
    """The parts to run, in order: what is asked for, or all that this machine can run."""
    wanted = set(filter(None, asked.split(",")))
    if wanted:
        return [part for part in PARTS if {part.name, part.group} & wanted]
    if rehearses:
        return list(PARTS)
    return [part for part in PARTS if (part.group == "no_card") != has_card]


def has_card() -> bool:
    """Whether torch sees a CUDA device; asked in a process of its own, which keeps ours clean."""
    import subprocess

    code = "import sys, torch; sys.exit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def last_line(report: Report) -> dict[str, Any]:
    """The figures by which runs are compared; None for what was not measured."""
    figures = report.figures
    return {**{name: figures.get(name) for name in LAST_LINE}, "failures": report.failures}


if __name__ == "__main__":
    sys.exit(main())
