"""Endpoints and the playground, for screenshots."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from annotate.models import Policy, Project, User
from training.models import Endpoint, SamplingJob, Tryout, TryoutAnswer

PARIS = "The capital of France is **Paris**.\n\nIt has been so, with breaks, since 987."
LYON = "The capital of France is Lyon, which lies on the"


def show_served(manager: User) -> None:
    """Two endpoints in the demo project, one of which has failed, and two tryouts."""
    project = Project.objects.get(slug="demo")
    hosted = _endpoint(project, "hosted", "https://api.example.org/v1", "large-model-2026-08")
    hosted.price_prompt, hosted.price_completion = Decimal("2.5"), Decimal("10")
    hosted.prompt_tokens, hosted.completion_tokens = 61_240, 148_902
    hosted.cost, hosted.key_sealed = Decimal("1.64212"), "sealed"
    hosted.save()
    _endpoint(project, "ollama", "http://localhost:11434/v1", "qwen3:4b")
    now = timezone.now()
    job = SamplingJob.objects.create(
        project=project,
        endpoint=hosted,
        state=SamplingJob.State.FAILED,
        error="The endpoint refuses the key (401). It said: “This key was revoked.” "
        "The 312 completions that came are kept.",
        stored=312,
        total_steps=520,
        prompt_tokens=31_200,
        completion_tokens=70_100,
        cost=Decimal("0.779"),
        started_at=now - timedelta(hours=3),
        finished_at=now - timedelta(hours=2, minutes=50),
    )
    job.policies.set([hosted.policy])
    base = project.policies.get(slug="base")
    for is_blind in (False, True):
        asked = Tryout.objects.create(
            project=project,
            asked_by=manager,
            messages=[{"role": "user", "content": "What is the capital of France?"}],
            is_blind=is_blind,
        )
        if is_blind:
            _answer(asked, "a", hosted.policy, PARIS, "succeeded")
            _answer(asked, "b", base, "", "queued")
        else:
            _answer(asked, "a", base, PARIS, "succeeded")
            _answer(asked, "b", hosted.policy, LYON, "running")


def _endpoint(project: Project, name: str, url: str, model: str) -> Endpoint:
    policy = Policy.objects.create(
        project=project, slug=name, kind=Policy.Kind.ENDPOINT, endpoint=url
    )
    return Endpoint.objects.create(
        project=project, policy=policy, url=url, model=model, sent=["temperature", "top_p", "seed"]
    )


def _answer(tryout: Tryout, side: str, policy: Policy, text: str, state: str) -> None:
    began = timezone.now() - timedelta(seconds=4)
    is_done = state == "succeeded"
    TryoutAnswer.objects.create(
        tryout=tryout,
        side=side,
        policy=policy,
        text=text,
        state=state,
        phase="asking the endpoint",
        token_count=19 if is_done else None,
        finish_reason="stop" if is_done else "",
        started_at=None if state == "queued" else began,
        finished_at=timezone.now() if is_done else None,
        heartbeat_at=timezone.now(),
    )
