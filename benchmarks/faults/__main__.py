"""``python -m benchmarks.faults --rounds 200 --seed 0``: rounds under injected faults.

The stack that ``make up`` runs, with a second gpu worker (web, beat, three workers, a real Redis,
the engine), trains a tiny model again and again. A seeded schedule says which fault meets which
round, and when. All rounds are the same job, so whatever was done to them, those that succeed
must have the same adapter, bit for bit. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import os
import platform
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.faults.faults import HIT_THE_ENGINE, KINDS, Site, deliver, inject
from benchmarks.faults.site import environment, fill, running_stack, small_disk, start_round

STEPS = 160  # of one round: 64 pairs, 10 epochs, 4 pairs a step
MOMENTS = ("queued", "starting", "training")


@dataclasses.dataclass
class Trial:
    """One round and what met it."""

    number: int
    kind: str
    moment: str
    at: float  # seconds after the engine's start, or the share of the steps that are done
    state: str = ""
    reason: str = ""
    attempts: int = 0
    recovery: float | None = None
    again: float | None = None  # until another attempt had the round, however slowly it started
    is_stuck: bool = False
    torn: str = ""
    was_too_late: bool = False


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to stop"))  # and all is put away
    home = options.home or Path(tempfile.mkdtemp(prefix="whetstone-faults-"))
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(environment(home))
    import django

    django.setup()
    began = time.monotonic()
    trials = _schedule(options.rounds, options.seed, options.kinds)
    try:
        with small_disk(home / "runs") as mounted:
            print(
                f"{platform.platform()}, {os.cpu_count()} cores; seed {options.seed}; a full disk "
                f"is {'a small tmpfs, filled' if mounted else 'a limit to the size of files'}",
                flush=True,
            )
            projects = fill(home, options.projects)
            with running_stack(home) as site:
                expected = _undisturbed(projects[0], options.patience)
                _run_all(trials, projects, site, expected, options)
                time.sleep(6)  # a process that is left over now is an orphan
            site.watch.engines.clear()
    finally:
        if options.home is None and not options.keep:
            shutil.rmtree(home, ignore_errors=True)
        else:
            print(f"kept: {home}")
    trials = [trial for trial in trials if trial.state or trial.is_stuck]
    return _report(trials, site, time.monotonic() - began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--projects", type=int, default=1, help="with rounds at the same time")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds until a round is stuck"
    )
    parser.add_argument("--minutes", type=float, help="begin no more rounds after so long")
    parser.add_argument("--home", type=Path, help="a data folder, kept; else a temporary one")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    return parser.parse_args()


def _schedule(rounds: int, seed: int, kinds: Iterable[str]) -> list[Trial]:
    """Every kind as often as every other, give or take one, in a random order."""
    chance = random.Random(seed)
    order = list(kinds)
    chance.shuffle(order)
    drawn = [order[number % len(order)] for number in range(rounds)]
    chance.shuffle(drawn)
    trials = []
    for number, kind in enumerate(drawn):
        needs_engine = kind in ("kill engine", "stop engine", "out of memory")
        moment = chance.choice(MOMENTS[1:] if needs_engine else MOMENTS)
        at = chance.uniform(0, 8) if moment == "starting" else chance.random()
        trials.append(Trial(number + 1, kind, moment, at))
    return trials


def _undisturbed(project: Any, patience: float) -> str:
    """What every round must come to: the adapter's hash of one that nothing happens to."""
    made = start_round(project)
    deadline = time.monotonic() + patience
    while not made.is_finished and time.monotonic() < deadline:
        time.sleep(0.2)
        made.refresh_from_db()
    if made.state != made.State.SUCCEEDED:
        raise RuntimeError(f"the undisturbed round {made.state}: {made.error} {made.log_tail}")
    took = (made.finished_at - made.started_at).total_seconds()
    print(f"undisturbed: {took:.1f} s, {made.total_steps} steps", flush=True)
    return str(made.result["adapter_sha256"])


def _run_all(
    trials: list[Trial],
    projects: list[Any],
    site: Site,
    expected: str,
    options: argparse.Namespace,
) -> None:
    waiting = list(reversed(trials))
    until = time.monotonic() + 60 * options.minutes if options.minutes else math.inf
    taking = threading.Lock()

    def work(project: Any) -> None:
        while True:
            with taking:
                if not waiting or time.monotonic() > until:
                    return
                trial = waiting.pop()
            try:
                _run(trial, project, site, expected, options)
            except Exception as error:  # told as a stuck round, and the others go on
                trial.is_stuck, trial.reason = True, f"{type(error).__name__}: {error}"
            _tell(trial, len(trials))

    threads = [threading.Thread(target=work, args=(project,)) for project in projects]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _run(
    trial: Trial, project: Any, site: Site, expected: str, options: argparse.Namespace
) -> None:
    chance = random.Random(f"{options.seed} {trial.number}")
    made = start_round(project, not_a_number=trial.kind == "not a number")
    deliver(made.pk, chance.randint(0, 4))  # every message comes one to five times
    began = time.monotonic()
    undo, attempt, step = (lambda: True), 0, 0
    back = lambda: True  # noqa: E731
    if trial.kind != "not a number":
        _wait_for_moment(trial, made, site)
        made.refresh_from_db()
        trial.was_too_late = made.is_finished
        attempt, step, began = made.attempt, _step(made), time.monotonic()
        back, undo = inject(trial.kind, site, Path(made.run_dir).name, made.pk, chance)
    deadline = time.monotonic() + options.patience
    is_back, since = False, 0.0  # since when there is another attempt
    while time.monotonic() < deadline:
        made.refresh_from_db()
        is_back = is_back or back()
        if made.attempt > attempt and not since:
            since = time.time()
            trial.again = time.monotonic() - began
        if trial.recovery is None and is_back and _goes_on(trial, made, since, step):
            trial.recovery = time.monotonic() - began
        if made.is_finished and is_back:
            break
        time.sleep(0.1)
    undo()
    trial.state, trial.attempts, trial.reason = made.state, made.attempt, made.error
    trial.is_stuck = not made.is_finished or (
        made.state != made.State.SUCCEEDED and not made.error.strip()
    )
    if made.is_finished and made.run_dir:
        site.watch.ended[Path(made.run_dir).name] = time.monotonic()
        shutil.rmtree(made.run_dir, ignore_errors=True) if not trial.is_stuck else None
    trial.torn = _torn(made, expected)


def _wait_for_moment(trial: Trial, made: Any, site: Site) -> None:
    if trial.moment == "queued":
        time.sleep(trial.at * 0.3)
        return
    since: float | None = None
    while not made.is_finished:
        made.refresh_from_db()
        run = Path(made.run_dir).name
        if trial.moment == "training" and _step(made) >= trial.at * STEPS and made.phase != "":
            if made.phase in ("training", "publishing", "done"):
                return
        elif trial.moment == "starting" and run and site.watch.engine_of(run):
            since = since or time.monotonic()
            if time.monotonic() - since > trial.at:
                return
        time.sleep(0.02)


def _step(made: Any, since: float = 0.0) -> int:
    """The engine's step as its heartbeat says it, which is newer than the row's; 0 where it does
    not train, or the heartbeat is older than ``since``."""
    try:
        beat = json.loads(Path(made.run_dir, "heartbeat").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    trains = beat["phase"] in ("training", "publishing", "done") and beat["time"] > since
    return int(beat["step"]) if trains else 0


def _goes_on(trial: Trial, made: Any, since: float, step: int) -> bool:
    """Whether the round has ended, or trains: in another attempt, or beyond where the fault met
    it."""
    if made.is_finished:
        return True
    if since:
        return _step(made, since) > 0
    return trial.kind not in HIT_THE_ENGINE and _step(made) > step


def _torn(made: Any, expected: str) -> str:
    """What is wrong with the adapter that this round put into the pool, in words; or nothing."""
    if made.policy is None:
        return ""
    import numpy as np
    from safetensors.numpy import load_file

    path = Path(made.policy.adapter_path) / "adapter_model.safetensors"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != made.result["adapter_sha256"]:
            return "its weights are not what the engine wrote"
        for name, tensor in load_file(path).items():
            if not np.isfinite(tensor).all():
                return f"{name} is not finite"
        manifest = json.loads((path.parent / "manifest.json").read_text(encoding="utf-8"))
        for name, sha256 in manifest.items():
            if hashlib.sha256((path.parent / name).read_bytes()).hexdigest() != sha256:
                return f"{name} is not what its manifest says"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if digest == expected else "it differs from the undisturbed round's"


def _tell(trial: Trial, count: int) -> None:
    at = f"{trial.at:.0%}" if trial.moment == "training" else f"{trial.at:.1f}"
    recovery = f"{trial.recovery:.1f} s" if trial.recovery is not None else "never"
    print(
        f"{trial.number:>4}/{count} {trial.kind} ({trial.moment} {at}"
        f"{', too late' if trial.was_too_late else ''}): {trial.state or 'no state'}, attempt "
        f"{trial.attempts}, recovered after {recovery}"
        f"{' STUCK' if trial.is_stuck else ''}{f' TORN {trial.torn}' if trial.torn else ''}"
        f"{f': {trial.reason[:110]}' if trial.reason else ''}",
        flush=True,
    )


def _p95(values: list[float]) -> float:
    return round(sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)], 1) if values else 0.0


def _report(trials: list[Trial], site: Site, seconds: float) -> int:
    print(
        "\n| fault | rounds | succeeded | failed, with a reason | attempts | next attempt s | ",
        end="",
    )
    print("recovery, median s | p95 s |\n|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        own = [trial for trial in trials if trial.kind == kind]
        if not own:
            continue
        times = [trial.recovery for trial in own if trial.recovery is not None]
        succeeded = sum(trial.state == "succeeded" for trial in own)
        failed = sum(trial.state == "failed" and not trial.is_stuck for trial in own)
        median = f"{statistics.median(times):.1f}" if times else "–"
        attempts = statistics.mean(trial.attempts for trial in own)
        again = [trial.again for trial in own if trial.again is not None]
        longest = f"{max(again):.1f}" if again else "–"
        print(
            f"| {kind} | {len(own)} | {succeeded} | {failed} | {attempts:.1f} | {longest} | "
            f"{median} | "
            f"{_p95(times)} |"
        )
    for line in [*site.watch.overlaps, *site.watch.orphans]:
        print(f"must not be: {line}")
    times = [trial.recovery for trial in trials if trial.recovery is not None]
    print(f"{seconds / 60:.0f} minutes")
    summary = {
        "rounds": len(trials),
        "stuck": sum(trial.is_stuck for trial in trials),
        "overlaps": len(set(site.watch.overlaps)),
        "orphans": len(site.watch.orphans),
        "torn": sum(bool(trial.torn) for trial in trials),
        "p95_recovery_s": _p95(times),
    }
    print(json.dumps(summary))
    bad = summary["stuck"] or summary["overlaps"] or summary["orphans"] or summary["torn"]
    return 1 if bad or summary["p95_recovery_s"] > 60 else 0


if __name__ == "__main__":
    sys.exit(main())
