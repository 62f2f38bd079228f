"""``python -m training.engine KIND RUN_DIR``: run one job, or go on with it.

KIND is dpo, sft, reward, sample, score, judge or merge.

Reads the environment for where to run, never for what: WHETSTONE_PARENT_PID (end with that
process), WHETSTONE_LEASE_SECONDS (end where RUN_DIR/lease is not touched for so long),
WHETSTONE_ATTEMPT (an engine of an earlier attempt in the same folder gives way),
WHETSTONE_DEVICE_LOCK (a file to lock while the device is used), WHETSTONE_SHARE_DEVICE (let
others have it at checkpoints) and WHETSTONE_THREADS. Knows nothing of what the kinds of jobs
do. torch is imported only once the job is known to be readable and the device is ours.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import sys
from pathlib import Path

from training.engine.config import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    KINDS,
    ConfigError,
    EngineJob,
    read_job,
)
from training.engine.errors import EngineError, Stopped, explain
from training.engine.runtime.locks import Device, take_run_dir, wait_for_word
from training.engine.runtime.process import StopRequest, die_with_parent, obey_lease
from training.engine.runtime.run_dir import RunDir, write_json

# Each kind's module has run(job, run_dir, stop) -> None.
MODULES = {
    "dpo": "train",
    "sft": "train",
    "reward": "train",
    "sample": "sample",
    "score": "score",
    "judge": "judge",
    "merge": "merge",
}
GROUP_TURN = "device-turn"  # where a group's first process says that the device is theirs
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
    if lease := os.environ.get("WHETSTONE_LEASE_SECONDS"):
        obey_lease(options.run_dir / "lease", float(lease))
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
    with contextlib.ExitStack() as locks:
        try:
            if run.writes:  # the rest of a group waits for its first process anyway
                held = take_run_dir(run.path, _attempt(), stop)
                if not alone:  # else it is ours until the very end of the process
                    locks.callback(os.close, held)
        except Stopped:
            return EXIT_STOPPED
        except EngineError as error:  # the folder is another's: no word is written into it
            print(f"{error.kind}: {error.message}\n{error.advice}", file=sys.stderr)
            return EXIT_FAILED
        if (run.path / "result.json").exists():  # the one that we waited for has done it
            return EXIT_DONE
        return _run(kind, run, stop, alone=alone)


def _run(kind: str, run: RunDir, stop: StopRequest, *, alone: bool) -> int:
    device = None
    try:
        run.open()
        job = _read(kind, run)
        if alone:
            stop.leave = lambda: _leave(run)
        lock = os.environ.get("WHETSTONE_DEVICE_LOCK")
        if lock and kind != "merge":  # which needs no device
            device = _hold_device(Path(lock), run, stop)
        run.phase("loading libraries")
        if alone:
            leave_out(needless(job))
        _use_threads()
        module = importlib.import_module(f".commands.{MODULES[kind]}", __package__)
        stop.leave = None
        stop.check()
        if alone and run.writes:
            importlib.import_module(".runtime.machine", __package__).describe(run.path)
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
        stop.leave = None
        if device is not None and not alone:
            device.give_back()
        run.close()
    return EXIT_DONE


def _attempt() -> int | None:
    attempt = os.environ.get("WHETSTONE_ATTEMPT")
    return int(attempt) if attempt else None


def _hold_device(lock: Path, run: RunDir, stop: StopRequest) -> Device | None:
    """Wait for our turn on the device. A group's first process takes it for all of them.

    The others wait here for its word, not in their first exchange: that would give up after ten
    minutes (NCCL's time-out), and a turn can take hours to come.
    """
    turn = run.path / GROUP_TURN
    grouped = os.environ.get("WORLD_SIZE", "1") != "1"
    if not run.writes:
        wait_for_word(turn, _launch(), stop)
        return None
    turn.unlink(missing_ok=True)
    device = Device(lock)

    def waiting() -> None:
        run.phase("waiting for the device")

    device.take(stop, waiting)
    if grouped:
        write_json(turn, {"launch": _launch()}, sync=False)
    elif os.environ.get("WHETSTONE_SHARE_DEVICE"):
        run.at_checkpoint = lambda: device.let_others(stop, waiting)
    return device


def _launch() -> str:
    """What all processes of one launch have in common, and those of another have not."""
    names = ("WHETSTONE_ATTEMPT", "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT")
    parts = [os.environ.get(name, "") for name in (*names, "MASTER_ADDR", "MASTER_PORT")]
    if os.environ.get("LOCAL_WORLD_SIZE") == os.environ.get("WORLD_SIZE"):
        parts.append(str(os.getppid()))  # all on this machine: of one launcher
    return " ".join(parts)


def _leave(run: RunDir) -> None:
    """Asked to stop before there is anything to keep."""
    run.phase("stopped")
    os._exit(EXIT_STOPPED)


def _read(kind: str, run: RunDir) -> EngineJob:
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


def needless(job: EngineJob) -> list[str]:
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
        run.error(error)
        run.phase("failed")
    except OSError:  # a full disk: standard error is what is left
        log.exception("error.json or heartbeat not written")
    print(f"{error.kind}: {error.message}\n{error.advice}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
