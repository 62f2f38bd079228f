"""What the workers' machines say of themselves, kept for the next round's estimate."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from annotate.models import PreferencePair
from training.jobs.hardware import Hardware
from training.models import Machine

SECONDS = 120
logger = logging.getLogger(__name__)


def note(run_dir: Path) -> None:
    """Keep what the engine wrote of its machine; nothing where it came to nothing."""
    try:
        report = json.loads((run_dir / "machine.json").read_text(encoding="utf-8"))
        name = str(report["host"])[:200]
    except (OSError, ValueError, KeyError):
        return
    Machine.objects.update_or_create(
        name=name, defaults={"report": report, "seen_at": timezone.now()}
    )


def is_wanted() -> bool:
    """Whether a round may be planned soon, and no job has told yet what it would run on."""
    return not Machine.objects.exists() and PreferencePair.objects.exists()


def measure() -> None:
    """Have a process of its own see what this machine is, unless a job has told of one already.

    It takes some seconds, most of them to load torch, which stays out of this process.
    """
    if Machine.objects.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "training.engine.runtime.machine", folder]
        done = subprocess.run(
            command, cwd=settings.BASE_DIR, timeout=SECONDS, check=False, capture_output=True
        )
        if done.returncode:
            logger.warning("the machine was not measured: %s", done.stderr.decode()[-500:])
        note(Path(folder))


def newest() -> Hardware | None:
    """The machine that worked last; None where none has yet."""
    row = Machine.objects.order_by("-seen_at").first()
    if row is None:
        return None
    report = row.report
    return Hardware(
        host=row.name,
        device=report["device"],
        devices=len(report["devices"]),
        free_memory=report["free_memory"],
        cores=report["cores"],
        dtype=report["dtype"],
        flops=report["flops"],
        names=tuple(device["name"] for device in report["devices"]),
    )
