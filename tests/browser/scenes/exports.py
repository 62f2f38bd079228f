"""What comes after a round, for screenshots: a report with all its parts, sent notifications."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from annotate.models import Project
from training.models import Delivery, Event, HubPush, Job, Merge, Metric, Recipient, Round


def show_after() -> None:
    """Fill in the demo project's finished rounds, and who is notified."""
    project = Project.objects.get(slug="demo")
    for number in (1, 2):
        _finish(project.rounds.get(number=number))
    _push(project.rounds.get(number=1))
    _tell(project)


def _finish(made: Round) -> None:
    policy = made.policy
    if policy is None:
        raise ValueError(made)
    folder = settings.ADAPTERS_DIR / f"demo-round-{made.number}-3f8a1c09d27b"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(bytes(1_320_000))
    policy.adapter_path = str(folder)
    policy.save(update_fields=["adapter_path"])
    pairs = made.snapshot.counts["held_out"]
    made.config = {**made.config, "beta": 0.1 * made.number, "seed": made.number}
    made.result = {
        **made.result,
        "adapter_sha256": "3f8a1c09d27b" + "5e" * 26,
        "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0"},
        "processes": 1,
        "reference_seconds": 6.1,
        "peak_memory_mib": 911,
        "held_out": {
            "pairs": pairs,
            "ranked": round(0.68 * pairs),
            "reference_ranked": round(0.53 * pairs),
            "rewarded": round(0.84 * pairs),
            "margin_quantiles": {"5": -0.412, "25": 0.233, "50": 1.187, "75": 2.35, "95": 4.871},
        },
    }
    made.save(update_fields=["config", "result"])
    rows = [("held_out/ranking_accuracy", 0, 0.53), ("held_out/ranking_accuracy", 60, 0.68)]
    rows += [("train/seconds", step, 2.4) for step in range(1, 61)]
    rows += [("train/tokens", step, 1480.0) for step in range(1, 61)]
    rows += [("train/examples", step, 16.0) for step in range(1, 61)]
    Metric.objects.bulk_create(
        Metric(round=made, name=name, step=step, value=value) for name, step, value in rows
    )
    if made.number == 2:
        run_dir = settings.RUNS_DIR / "merge-1"
        (run_dir / "merged").mkdir(parents=True, exist_ok=True)
        (run_dir / "merged" / "model.safetensors").write_bytes(bytes(8_600_000))
        Merge.objects.create(
            round=made,
            state=Job.State.SUCCEEDED,
            run_dir=str(run_dir),
            result={"dtype": "float32", "bytes": 8_600_000},
            finished_at=timezone.now(),
        )


def _push(made: Round) -> None:
    now = timezone.now()
    HubPush.objects.create(
        round=made,
        what=HubPush.What.ADAPTER,
        repo="our-lab/demo-1",
        state=Job.State.SUCCEEDED,
        url="https://huggingface.co/our-lab/demo-1/commit/abc",
        finished_at=now,
    )
    HubPush.objects.create(
        round=made,
        what=HubPush.What.ADAPTER,
        repo="elsewhere/demo-1",
        state=Job.State.FAILED,
        error="The token may not write to elsewhere/demo-1 on https://huggingface.co (403).",
        finished_at=now,
    )


def _tell(project: Project) -> None:
    now = timezone.now()
    ada = Recipient.objects.create(
        project=project,
        kind=Recipient.Kind.EMAIL,
        address="ada@example.org",
        events=[Event.SUCCEEDED, Event.FAILED, Event.GATE_READY],
    )
    hook = Recipient.objects.create(
        project=project,
        kind=Recipient.Kind.WEBHOOK,
        address="https://hooks.example.org/services/whetstone?room=training",
        events=list(Event.values),
    )
    Recipient.objects.create(
        project=project,
        kind=Recipient.Kind.WEBHOOK,
        address="https://old.example.org/hook",
        events=[Event.FAILED],
        is_on=False,
    )
    failed = "Demo: round 1 has failed"
    rows = [
        (ada, "round.failed", failed, "sent", "Handed to the mail server.", 1),
        (hook, "round.failed", failed, "given_up", "hooks.example.org:443 cannot be reached.", 11),
        (ada, "round.succeeded", "Demo: round 2 has succeeded", "sent", "", 1),
        (
            hook,
            "round.succeeded",
            "Demo: round 2 has succeeded",
            "waiting",
            "Answered with status 503.",
            2,
        ),
    ]
    for number, (recipient, event, subject, state, answer, attempt) in enumerate(rows):
        Delivery.objects.create(
            recipient=recipient,
            event=event,
            key=f"round:{number}",
            subject=subject,
            body='{"type": "round.succeeded", "data": {"project": "demo", "round": 2}}',
            state=state,
            answer=answer,
            attempt=attempt,
            sent_at=now if state == "sent" else None,
            next_at=now + timedelta(hours=2),
        )
