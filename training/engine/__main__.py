"""``python -m training.engine KIND RUN_DIR``: run one job, or go on with it.

KIND is dpo, sft, reward, sample, score or judge.

Reads the environment for where to run, never for what: WHETSTONE_PARENT_PID (end with that
process), WHETSTONE_DEVICE_LOCK (a file to lock while the device is used) and
WHETSTONE_THREADS. Knows nothing of what the kinds of jobs do. torch is imported only once
the job is known to be readable and the device is ours.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path

from .config import EXIT_DONE, EXIT_FAILED, EXIT_STOPPED, KINDS, ConfigError, Job, read_job
from .errors import EngineError, Stopped, explain
from .process import StopRequest, die_with_parent, hold_device
from .rundir import RunDir

# Each kind's module has run(job, run_dir, stop) -> None.
MODULES = {
    "dpo": "train",
    "sft": "train",
    "reward": "train",
    "sample": "sample",
    "score": "score",
    "judge": "judge",
}
log = logging.getLogger("engine")


def main(arguments: list[str] | None = None) -> int:
    """Run the job; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.engine", description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("run_dir", type=Path)
    options = parser.parse_args(arguments)

    if parent := os.environ.get("WHETSTONE_PARENT_PID"):
        die_with_parent(int(parent))
    stop = StopRequest()
    stop.listen()
    if not options.run_dir.is_dir():
        parser.error(f"{options.run_dir} is not a folder")
    if (options.run_dir / "result.json").exists():
        print("already done: result.json is there", file=sys.stderr)
        return EXIT_DONE

    return run_job(options.kind, options.run_dir, stop, alone=True)


def run_job(
    kind: str, folder: Path, stop: StopRequest | None = None, *, alone: bool = False
) -> int:
    """Run the job in ``folder`` within this process; returns the exit status.

    ``alone``: nothing else runs in this process, so packages that the job needs not stay out.
    """
    if stop is None:  # not "or": a StopRequest is false until it is set
        stop = StopRequest()
    run = RunDir(folder.resolve(), writes=os.environ.get("RANK", "0") == "0")
    try:
        run.open()
        job = _read(kind, run)
        lock = os.environ.get("WHETSTONE_DEVICE_LOCK")
        if lock and run.writes:  # the rest of a group waits for its first process anyway
            hold_device(Path(lock), run, stop)
        run.phase("loading libraries")
        if alone:
            leave_out(needless(job))
        _use_threads()
        stop.check()
        module = importlib.import_module(f".{MODULES[kind]}", __package__)
        module.run(job, run, stop)
    except Stopped:
        log.info("stopped on request")
        run.phase("stopped")
        return EXIT_STOPPED
    except Exception as error:
        log.exception("failed")
        _report(run, explain(error))
        return EXIT_FAILED
    finally:
        run.close()
    return EXIT_DONE


def _read(kind: str, run: RunDir) -> Job:
    try:
        job = read_job(run.path)
    except ConfigError as error:
        text = str(error)
        text = text if text.startswith("job.json") else f"job.json: {text}"
        raise EngineError("bad_job", text, "Correct the job and start the run again.") from error
    if not isinstance(job, KINDS[kind]):
        advice = "Name the kind that job.json has, or write another job."
        raise EngineError("bad_job", f"job.json is not of kind {kind!r}", advice)
    return job


def needless(job: Job) -> list[str]:
    """Packages that transformers and peft load merely because they are installed."""
    names = ["datasets"]
    config = Path(job.model.base) / "config.json"  # a name on a hub may be anything
    is_plain = config.is_file() and "quantization_config" not in config.read_text("utf-8")
    if is_plain and not getattr(job, "load_in_4bit", False):
        names.append("bitsandbytes")
    return names


def leave_out(names: list[str]) -> None:
    """Let these look as though they were not installed: a third of the time of loading."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def _use_threads() -> None:
    if threads := os.environ.get("WHETSTONE_THREADS"):
        import torch

        torch.set_num_threads(int(threads))


def _report(run: RunDir, error: EngineError) -> None:
    try:
        run.phase("failed")
        run.error(error)
    except OSError:  # a full disk: standard error is what is left
        log.exception("error.json not written")
    print(f"{error.kind}: {error.message}\n{error.advice}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
