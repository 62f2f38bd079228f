"""Rewards, for screenshots: scores of a policy and of a reward model, with some disagreement."""

from __future__ import annotations

import random
from collections import defaultdict

from annotate.models import Completion, PreferencePair, Project
from training.models import Metric, Round, Score


def show_rewards() -> None:
    """A reward round on the pairs of the help desk's last round, and both rounds' scores."""
    project = Project.objects.get(slug="helpdesk")
    rng = random.Random(11)
    last = project.rounds.order_by("-number").first()
    assert last is not None
    tags = ("opening hours", "fees", "renewals")
    for prompt in project.prompts.all():
        prompt.tags = [tags[prompt.pk % 3]]
        prompt.save(update_fields=["tags"])
    model = Round.objects.create(
        project=project,
        number=last.number + 1,
        kind=Round.Kind.REWARD,
        state=Round.State.SUCCEEDED,
        snapshot=last.snapshot,
        start=last.reference,
        reference=last.reference,
        reward_adapter="/var/lib/whetstone/adapters/helpdesk-reward-4-5be0a7d1c2f3",
        attempt=1,
        seed=4,
        config={"kind": "reward", "margin": 0.0, "label_smoothing": 0.0},
        step=40,
        total_steps=40,
        started_at=last.started_at,
        finished_at=last.finished_at,
        result={"seconds": 71.0, "steps": 40, "device": "cpu", "dtype": "float32"},
    )
    for step in range(0, 41, 4):
        far = step / 40
        for name, value in (
            ("loss", 0.693 - 0.2 * far),
            ("reward_accuracy", 0.5 + 0.28 * far),
            ("reward_margin", 1.1 * far),
        ):
            Metric.objects.create(round=model, step=step, name=f"held_out/{name}", value=value)
    merit: dict[int, float] = defaultdict(float)
    for pair in PreferencePair.objects.filter(comparison__project=project):
        merit[pair.chosen_id] += 1
        merit[pair.rejected_id] -= 1
    texts = list(Completion.objects.filter(prompt__project=project).order_by("pk"))
    Score.objects.bulk_create(
        Score(
            round=scorer,
            completion=completion,
            reward=scale * (merit[completion.pk] + rng.gauss(0, noise)),
            token_count=completion.token_count or 1,
        )
        for scorer, scale, noise in ((model, 0.9, 1.3), (last, 0.3, 1.9))
        for completion in texts
        if scorer == model or completion.pk % 5
    )
