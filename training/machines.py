"""What the workers' machines say of themselves, kept for the next round's estimate."""

from __future__ import annotations

import json
from pathlib import Path

from django.utils import timezone

from training.hardware import Hardware
from training.models import Machine


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


def newest() -> Hardware | None:
    """The machine that worked last; None where none has yet."""
    row = Machine.objects.order_by("-seen_at").first()
    if row is None:
        return None
    told = row.report
    return Hardware(
        host=row.name,
        device=told["device"],
        devices=len(told["devices"]),
        free_memory=told["free_memory"],
        cores=told["cores"],
        dtype=told["dtype"],
        flops=told["flops"],
        names=tuple(one["name"] for one in told["devices"]),
    )
