"""What a worker tells the database of a round under way, besides its metrics: samples, log, kept.

The worker may be on another machine than the web server, so pages read rows and never the run
directory. Knows nothing of how rounds begin and end.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from annotate.content.completions import storable
from training.jobs.engine_process import Tail, log_tail
from training.jobs.progress import marks_of, seconds_left
from training.models import Round, RoundSample
from training.rounds.pausing import newest_kept

LINES = 12


class Observer:
    """Asked about twice a second while the engine runs."""

    def __init__(self, job: Round, run_dir: Path) -> None:
        self._job, self._run_dir = job, run_dir
        self._samples = Tail(run_dir / "samples.jsonl")
        self._told: dict[str, Any] = {
            "log_tail": job.log_tail,
            "kept_step": job.kept_step,
            "seconds_left": job.seconds_left,
        }

    def news(self, total_steps: int) -> dict[str, Any]:
        """Store new samples; the columns of the round that are not as they were told last."""
        store_samples(self._job, self._samples.read())
        now = {
            "log_tail": storable(log_tail(self._run_dir, lines=LINES)),
            "kept_step": newest_kept(self._run_dir),
            "seconds_left": seconds_left(
                marks_of(self._run_dir), total_steps=total_steps, now=time.time()
            ),
        }
        changed = {name: value for name, value in now.items() if value != self._told[name]}
        self._told = now
        return changed


def store_samples(job: Round, lines: Iterable[dict[str, Any]]) -> None:
    """Rows of lines of ``samples.jsonl``; one that is there already is replaced."""
    rows = [
        RoundSample(
            round=job,
            step=line["step"],
            place=line["place"],
            messages=[
                {"role": m["role"], "content": storable(m["content"])} for m in line["messages"]
            ],
            is_held_out=bool(line.get("held_out", True)),
            text=storable(line["text"]),
            token_count=line["token_count"],
            is_cut=line["finish_reason"] == "length",
        )
        for line in lines
    ]
    if rows:
        RoundSample.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["round", "step", "place"],
            update_fields=["messages", "is_held_out", "text", "token_count", "is_cut"],
        )
