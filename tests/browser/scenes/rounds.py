"""What the pages for starting a round show: a schedule, its last starts, and a worker's machine."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotate.models import Policy, Project
from training.demo import MODEL_DIR
from training.models import LoopSettings, Machine, PlanWindow

REPORT = {
    "host": "gpu-worker",
    "device": "cpu",
    "devices": [],
    "free_memory": 6 * 2**30,
    "cores": 2,
    "dtype": "float32",
    "flops": 6e10,
}


def show_rounds() -> None:
    """The help desk has a schedule; its base is the built-in model, whose files can be read."""
    now = timezone.now()
    project = Project.objects.get(slug="helpdesk")
    Policy.objects.filter(project=project).exclude(base_model="").update(base_model=str(MODEL_DIR))
    LoopSettings.objects.filter(project=project).update(
        base_model=str(MODEL_DIR),
        round_plan={"days": [0, 3], "times": ["02:00"], "zone": "Europe/Berlin"},
        round_plan_since=now,
        round_needs_all=True,
        gold_floor=80,
        round_needs_decision=True,
    )
    Machine.objects.create(name="gpu-worker", report=REPORT)
    newest = PlanWindow.objects.create(
        project=project, at=now - timedelta(days=2), decided_at=now - timedelta(days=2)
    )
    project.rounds.filter(number=3).update(window=newest, trigger="plan")
    PlanWindow.objects.create(
        project=project,
        at=now - timedelta(days=6),
        decided_at=now - timedelta(days=6),
        words="312 new pairs of 400.",
    )
