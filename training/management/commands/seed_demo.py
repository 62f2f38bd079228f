"""The demo project: the built-in model, its prompts, and settings that suit it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction

from annotate.content.prompts import RUNS_OF_SPACE, is_held_out, prompt_digest
from annotate.models import Membership, Project, Prompt, User
from annotate.onboarding import texts
from training.demo import MODEL_DIR
from training.demo.world import prompts
from training.models import LoopSettings
from training.policies.pool import ensure_base

PROMPTS = 400
GUIDELINES = """\
You see a question and two answers. Choose the answer that you would rather have been given.

1. **Right and direct** comes first: it answers the question, and what it says is true.
2. Then **polite**: an honest "I don't know" is better than an insult.
3. Then **short**: of two answers that are equally good, the one that wastes less of your time.

If both are equally good, choose *Tie*. If neither should ever be sent to anybody, choose *Both
are bad*. If you cannot tell, *Skip*: somebody else will judge that one.
"""
# Found by trying: the small model needs a far higher rate than a real one, and with beta 0.1 it
# strays so far from its reference that a fifth of its answers are no longer sentences.
ROUND_CONFIG = {
    "beta": 0.3,
    "lora": {"r": 16, "alpha": 32},
    "optimisation": {
        "learning_rate": 5e-4,
        "epochs": 3,
        "batch_size": 8,
        "max_length": 256,
    },
}


class Command(BaseCommand):
    help = "Make the demo project, if there is none yet. Every superuser manages it."

    @transaction.atomic
    def handle(self, **_options: Any) -> None:
        project, is_new = Project.objects.get_or_create(
            slug="demo", defaults={"name": "Demo", "prompt_rule": RUNS_OF_SPACE}
        )
        if not is_new:
            self.stdout.write("The demo project is there already; nothing was changed.")
            return
        LoopSettings.objects.create(
            project=project,
            base_model=str(MODEL_DIR),
            completions_per_prompt=4,
            max_new_tokens=112,
            round_config=ROUND_CONFIG,
        )
        texts.write(project=project, kind=texts.Kind.GUIDELINES, text=GUIDELINES, author=None)
        rows = []
        for prompt in prompts(0)[:PROMPTS]:
            messages = list(prompt.messages)
            digest = prompt_digest(messages)
            rows.append(
                Prompt(
                    project=project,
                    messages=messages,
                    digest=digest,
                    source="demo",
                    tags=[prompt.topic],
                    is_held_out=is_held_out(digest, project.held_out_percent),
                )
            )
        Prompt.objects.bulk_create(rows)
        ensure_base(project=project)
        for user in User.objects.filter(is_superuser=True):
            Membership.objects.create(project=project, user=user, role=Membership.Role.MANAGER)
        self.stdout.write(f"Made the demo project with {len(rows)} prompts.")
