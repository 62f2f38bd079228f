"""The pages of a project that is at work, for tests that look at every one of them."""

from __future__ import annotations

from django.utils import timezone

from annotate.models import Policy, Project
from tests.factories import make_comparison, make_completion, make_policy, make_project, make_prompt
from training.models import LoopSettings, Metric, Round, SamplingJob, Snapshot

MIXED = (
    """# A heading

Some *words*, `code`, https://example.org/a/rather/long/address/that/goes/on/and/on?and=on and
a formula $\\frac{a}{b}$ for $5 and $6.

$$\\sum_{i=1}^{n} x_i = x_1 + x_2 + x_3 + x_4 + x_5 + x_6 + x_7 + x_8 + x_9 + x_{10} + x_n$$

- [x] done
- [ ] to do

> שלום, a quotation that runs the other way

| column | another column | yet another column | the last of the columns |
|---|---|---|---|
| 1 | 2 | 3 | a-cell-that-does-not-break-anywhere-at-all-whatever-happens |

```python
def answer(question: str, *, patience: int = 3, hurry: bool = False, anything_else: object = None):
    return "x" * 42  # why not
```

"""
    + "averyveryverylongwordindeed" * 12
)

PROJECT_PAGES = [
    "",
    "rounds/",
    "rounds/1/",
    "completions/",
    "pairs/",
    "import/",
    "settings/",
    "guidelines/",
    "rate/",
    "history/",
]
"""Below /p/sharpen/. Every page of a project belongs here."""

PAGES = [
    "/",
    "/new/",
    *(f"/p/sharpen/{path}" for path in PROJECT_PAGES),
    "/p/fresh/rate/",
    "/p/no/",
]


def fill(project: Project) -> Round:
    """A card to rate, a round and a sampling job at work; and an empty project, ``fresh``."""
    project.guidelines = MIXED
    project.save()
    LoopSettings.objects.create(project=project, base_model="some/model")
    policy = make_policy(project)
    prompt = make_prompt(project, MIXED)
    make_comparison(
        project,
        prompt=prompt,
        a=make_completion(prompt, policy, MIXED),
        b=make_completion(prompt, policy, "مرحبا بالعالم. " * 20 + "\n\n漢字かな交じり文。" * 20),
    )
    base = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="absent"
    )
    found = Round.objects.create(
        project=project,
        number=1,
        snapshot=snapshot,
        start=base,
        reference=base,
        state=Round.State.RUNNING,
        phase="training",
        step=2,
        total_steps=4,
        started_at=timezone.now(),
    )
    for step in range(3):
        for name in ("train/loss", "held_out/loss"):
            Metric.objects.create(round=found, step=step, name=name, value=0.7 - step / 10)
    job = SamplingJob.objects.create(
        project=project, state=SamplingJob.State.RUNNING, stored=1, total_steps=9
    )
    job.policies.set([base])
    fresh = make_project("fresh", name="Fresh")
    for membership in project.memberships.all():
        fresh.memberships.create(user=membership.user, role=membership.role)
    return found
