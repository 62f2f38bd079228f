"""Installs a requirements file and says how far it is: ``python config/launch/install.py FILE``.

Runs before anything is installed, so it needs only the standard library. uv does the work where it
is found, which takes a tenth of the time; else pip.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

SAY_EVERY_SECONDS = 5.0
LINES_SHOWN = 30
"""Of what pip said, where it failed."""


def main(requirements: Path) -> int:
    """Install; returns the exit status of what did it."""
    total = sum("==" in line for line in requirements.read_text("utf-8").splitlines())
    uv = shutil.which("uv")
    print(f"Installing {total} packages with {'uv' if uv else 'pip'}.", flush=True)
    if uv:
        command = [uv, "pip", "install", "--python", sys.executable, "-r", str(requirements)]
        return subprocess.run(command).returncode
    return _with_pip(requirements, total)


def _with_pip(requirements: Path, total: int) -> int:
    # What is never imported need not be compiled either: --no-compile saves a minute.
    options = ["--disable-pip-version-check", "--no-compile", "--progress-bar", "off"]
    command = [sys.executable, "-m", "pip", "install", *options, "-r", str(requirements)]
    last: deque[str] = deque(maxlen=LINES_SHOWN)
    collected, last_report = 0, time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    for line in process.stdout or ():
        last.append(line)
        words = line.split()
        if words[:1] == ["Collecting"]:
            collected += 1
            if time.monotonic() - last_report > SAY_EVERY_SECONDS:
                print(f"  {collected} of {total}: {words[1].partition('=')[0]}", flush=True)
                last_report = time.monotonic()
        elif words[:3] == ["Installing", "collected", "packages:"]:
            print(f"  {collected} of {total} are here; unpacking them takes a minute.", flush=True)
    status = process.wait()
    if status:
        print("".join(last), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
