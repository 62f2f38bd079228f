"""A site as it looks after some weeks of use, made row by row: for screenshots, not for tests.

Five projects, each in another state: ``demo`` has a round in training, ``helpdesk`` waits for
a manager, ``trouble`` has a failed round, ``fresh`` has nothing yet,
``halted`` a paused round with warnings.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotate.content.completions import store_completions
from annotate.content.prompts import NewPrompt, store_prompts
from annotate.models import (
    Comparison,
    Completion,
    Judgement,
    Membership,
    Policy,
    PreferencePair,
    Project,
    User,
)
from annotate.pairing.comparisons import make_comparisons
from annotate.queue.line_ups import make_line_up
from annotate.queue.settle import settle_comparison
from training.demo import manners, world
from training.engine.config import DpoJob, EvalSamples, Model, SampleJob, Sampling, job_to_dict
from training.models import LoopSettings, Metric, Round, RoundSample, SamplingJob, Snapshot

GUIDELINES = """Choose the response that **you would rather have received**.

- It answers what was asked, and the answer is right.
- It is polite; a short answer beats a long one that says the same.
- If both are equally good, say *Tie*. If neither is of any use, say *Both are bad*.

Take the time you need. Nothing on the page tells who wrote which response.
"""
CODE = """Use `binary search` on a **sorted** list:

```python
def find(items: list[int], wanted: int) -> int | None:
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low if low < len(items) and items[low] == wanted else None
```

1. It halves the range at each step.
2. After *log₂ n* steps one place is left.

| n | steps |
|---|---|
| 1,000 | 10 |
| 1,000,000 | 20 |

> Mind the empty list.
"""
TALK = [
    ("system", "You are the assistant of a library. Answer briefly."),
    ("user", "When do you open?"),
    ("assistant", "At nine, on every weekday."),
    ("user", "And on Saturdays?"),
    ("assistant", "From ten to two."),
    ("user", "May I bring my dog?"),
    ("assistant", "Only if it can read quietly."),
    ("user", "Can I renew a book by telephone? هل يمكنني تجديد كتاب بالهاتف؟"),
]
LIBRARY = """نعم، اتصل بنا بين التاسعة والخامسة. اذكر رقم بطاقتك، وسوف نجدد الكتاب لأربعة أسابيع.

- أولاً: الرقم
- ثانياً: الاسم
"""
# The share of each of world.MANNERS, in their order, after each round.
SHARES = [
    list(world.MANNERS.values()),
    [0.48, 0.12, 0.10, 0.05, 0.15, 0.10],
    [0.66, 0.06, 0.07, 0.02, 0.11, 0.08],
    [0.74, 0.04, 0.06, 0.01, 0.08, 0.07],
]


@transaction.atomic
def build(*, password: str) -> User:
    """Fill the database. Returns the manager ``ada``; raters are ben, cleo, dan and eva."""
    rng = random.Random(7)
    ada = User.objects.create_superuser("ada", password=password)
    names = ("ben", "cleo", "dan", "eva")
    raters = [User.objects.create_user(name, password=password) for name in names]
    demo = make_project("demo", "Demo", ada, raters)
    _turns(demo, raters, rng, rounds=2, prompts=260)
    _round_in_training(demo, ada, rng)
    _sampling_under_way(demo)
    helpdesk = make_project("helpdesk", "Help desk, first answers", ada, raters)
    _turns(helpdesk, raters, rng, rounds=3, prompts=200)
    trouble = make_project("trouble", "Poetry corner", ada, raters)
    _turns(trouble, raters, rng, rounds=0, prompts=40)
    _failed_round(trouble, ada)
    make_project("fresh", "Fresh start", ada, [])
    halted = make_project("halted", "Night shift", ada, raters)
    _turns(halted, raters, rng, rounds=1, prompts=40)
    _paused_round(halted, ada, rng)
    return ada


def show_long_answers() -> None:
    """Put Markdown, code and many paragraphs first in two queues, and a long conversation with
    an empty answer first in a third; one project asks for everything besides the verdict."""
    with_code = (
        "How do I find a number in a sorted list with Python? Please say why it is fast.",
        CODE,
        "Just loop over it, or use the `in` operator: Python will do the rest for you.",
    )
    first_in_queue(Project.objects.get(slug="demo"), *with_code)
    sea = "The sea came in, the sea went out, and nobody was about. " * 6
    poem = (
        "Write a ballad about the sea. " + "Let it have many verses, and a refrain. " * 8,
        "\n\n".join([sea] * 7),
        "\n\n".join([sea] * 2),
    )
    first_in_queue(Project.objects.get(slug="trouble"), *poem)
    first_in_queue(Project.objects.get(slug="helpdesk"), "", LIBRARY, "", turns=TALK)
    Project.objects.filter(slug="trouble").update(
        strength_mode="required",
        criteria=[
            {"key": "helpful", "name": "Helpful"},
            {"key": "honest", "name": "Honest"},
            {"key": "harmless", "name": "Harmless"},
        ],
        criteria_required=True,
        reason_mode="required",
        reason_min_length=20,
        reason_tags=["Wrong facts", "Too long", "Rude", "Off topic"],
        flags_on=True,
        editing_on=True,
    )


def show_line_up() -> None:
    """Four answers to one prompt, to be put into an order."""
    project = Project.objects.get(slug="helpdesk")
    Project.objects.filter(pk=project.pk).update(line_up_size=4)
    policy, _ = project.policies.get_or_create(slug="base", defaults={"kind": Policy.Kind.BASE})
    asked = [{"role": "user", "content": "How do I renew a library card?"}]
    (prompt,) = store_prompts(project=project, prompts=[NewPrompt(messages=asked)]).ids.values()
    answers = (LIBRARY, "At the desk.", CODE, "Bring the card and a photo. It takes a minute.")
    rows = [
        Completion(prompt_id=prompt, policy=policy, text=text, seed=seed)
        for seed, text in enumerate(answers)
    ]
    store_completions(rows=rows)
    make_line_up(
        project=project,
        prompt_id=prompt,
        completions=[row.pk for row in Completion.objects.filter(prompt_id=prompt)],
        priority=0,
    )


def first_in_queue(
    project: Project, question: str, *answers: str, turns: Sequence[tuple[str, str]] = ()
) -> None:
    """Put a comparison of two answers first in everybody's queue."""
    policy, _ = project.policies.get_or_create(slug="base", defaults={"kind": Policy.Kind.BASE})
    asked = turns or [("user", question)]
    new = NewPrompt(messages=[{"role": role, "content": content} for role, content in asked])
    (prompt,) = store_prompts(project=project, prompts=[new]).ids.values()
    rows = [
        Completion(prompt_id=prompt, policy=policy, text=text, seed=seed)
        for seed, text in enumerate(answers)
    ]
    store_completions(rows=rows)
    a, b = Completion.objects.filter(prompt_id=prompt).order_by("seed")
    Comparison.objects.create(project=project, prompt_id=prompt, a=a, b=b, priority=100, shuffle=0)


def make_project(slug: str, name: str, manager: User, raters: Sequence[User]) -> Project:
    """A project with its members and no prompts yet."""
    project = Project.objects.create(slug=slug, name=name, guidelines=GUIDELINES)
    LoopSettings.objects.create(
        project=project, base_model="built-in", max_new_tokens=128, round_after_pairs=400
    )
    Membership.objects.create(project=project, user=manager, role=Membership.Role.MANAGER)
    for rater in raters:
        Membership.objects.create(project=project, user=rater)
    return project


def _turns(
    project: Project, raters: Sequence[User], rng: random.Random, *, rounds: int, prompts: int
) -> None:
    """Run the loop ``rounds`` times: completions, comparisons, judgements, a round."""
    asked = rng.sample(world.prompts(), prompts)
    by_pk = {}
    for prompt in asked:
        new = NewPrompt(messages=list(prompt.messages))
        stored = store_prompts(project=project, prompts=[new], source="demo world")
        by_pk.update(dict.fromkeys(stored.ids.values(), prompt))
    champion = Policy.objects.create(
        project=project,
        slug="base",
        kind=Policy.Kind.BASE,
        base_model="built-in",
        state=Policy.State.CHAMPION,
    )
    began = timezone.now() - timedelta(days=2 * rounds + 1)
    _answer(champion, by_pk, SHARES[0], 2, rng)
    make_comparisons(project=project)
    parent = champion
    for number in range(1, rounds + 1):
        _judge(project, raters, rng, began, share=0.8)
        parent = _finished_round(project, number, parent, champion, rng, began)
        _answer(parent, by_pk, SHARES[number], 2, rng)
        make_comparisons(project=project)
        began += timedelta(days=2)
    _judge(project, raters, rng, timezone.now() - timedelta(hours=30), share=0.5, hours=29)
    if rounds:
        Policy.objects.filter(pk=champion.pk).update(state=Policy.State.ACTIVE)
        Policy.objects.filter(project=project, slug=f"round-{max(1, rounds - 1)}").update(
            state=Policy.State.CHAMPION
        )


def _answer(
    policy: Policy,
    asked: dict[int, world.DemoPrompt],
    shares: Sequence[float],
    draws: int,
    rng: random.Random,
) -> None:
    rows = []
    for pk, prompt in asked.items():
        for seed in range(draws):
            manner = rng.choices(list(world.MANNERS), weights=shares)[0]
            text = world.answer(prompt, manner, rng)
            rows.append(
                Completion(
                    prompt_id=pk,
                    policy=policy,
                    text=text,
                    seed=seed,
                    sampling={"temperature": 1.0, "max_new_tokens": 128},
                    finish_reason="stop",
                    token_count=len(text.split()) + 4,
                )
            )
    store_completions(rows=rows)


def _judge(
    project: Project,
    raters: Sequence[User],
    rng: random.Random,
    began: datetime,
    *,
    share: float,
    hours: float = 30,
) -> None:
    open_ones = list(
        Comparison.objects.filter(project=project, state=Comparison.State.OPEN).select_related(
            "prompt", "a", "b"
        )
    )
    chosen = rng.sample(open_ones, int(share * len(open_ones)))
    for index, comparison in enumerate(chosen):
        when = began + timedelta(hours=hours * index / len(chosen), minutes=rng.random() * 4)
        outcome: str = manners.better(
            comparison.prompt.messages, comparison.a.text, comparison.b.text
        )
        if rng.random() < 0.08:
            outcome = {"a": "b", "b": "a", "tie": "both_bad"}[outcome]
        Judgement.objects.create(
            comparison=comparison,
            rater=rng.choice(raters),
            swapped=rng.random() < 0.5,
            outcome=outcome,
            served_at=when - timedelta(seconds=rng.uniform(4, 40)),
            expires_at=when,
            decided_at=when,
        )
        settle_comparison(comparison=comparison)
        Comparison.objects.filter(pk=comparison.pk).update(judgements_taken=1)
        PreferencePair.objects.filter(comparison=comparison).update(created_at=when)


def _job(base: Policy) -> dict[str, object]:
    return job_to_dict(DpoJob(model=Model(base=base.base_model), watch=EvalSamples(answers=8)))


def _snapshot(project: Project, number: int) -> Snapshot:
    pairs = PreferencePair.objects.filter(comparison__project=project)
    held_out = pairs.filter(comparison__prompt__is_held_out=True).count()
    snapshot = Snapshot.objects.create(
        project=project,
        counts={"train": pairs.count() - held_out, "held_out": held_out},
        sha256=random.Random(f"{project.slug}{number}").randbytes(32).hex(),
        path=str(settings.SNAPSHOTS_DIR / "absent.jsonl"),
    )
    snapshot.pairs.set(pairs)
    pairs.filter(frozen_at=None).update(frozen_at=timezone.now())
    return snapshot


def _finished_round(
    project: Project,
    number: int,
    start: Policy,
    base: Policy,
    rng: random.Random,
    began: datetime,
) -> Policy:
    policy = Policy.objects.create(
        project=project,
        slug=f"round-{number}",
        kind=Policy.Kind.ADAPTER,
        base_model=base.base_model,
        adapter_path=str(settings.ADAPTERS_DIR / "absent"),
        parent=start,
        state=Policy.State.CANDIDATE if number > 1 else Policy.State.ACTIVE,
    )
    steps = 60
    ended = began + timedelta(hours=31)
    made = Round.objects.create(
        project=project,
        number=number,
        trigger=Round.Trigger.PAIRS,
        state=Round.State.SUCCEEDED,
        snapshot=_snapshot(project, number),
        start=start,
        reference=base,
        policy=policy,
        attempt=1,
        seed=number,
        config=_job(base),
        code_version="4fdc1ab0e2c7",
        step=steps,
        total_steps=steps,
        started_at=ended - timedelta(minutes=3, seconds=12),
        finished_at=ended,
        result={
            "seconds": 186.2,
            "steps": steps,
            "device": "cpu",
            "dtype": "float32",
            "adapter_sha256": rng.randbytes(32).hex(),
        },
        provenance={
            "code": "4fdc1ab0e2c7",
            "libraries": {
                "python": "3.11.7",
                "torch": "2.13.0",
                "transformers": "5.23.0",
                "peft": "0.21.2",
            },
            "hardware": {
                "device": "cpu",
                "platform": "Linux-6.18-x86_64-with-glibc2.36",
                "cpu": "Intel(R) Xeon(R) Processor @ 2.50GHz",
                "instructions": "AVX512",
                "cores": 2,
            },
            "threads": 2,
            "processes": 1,
            "seed": number,
            "inputs": {
                "data": rng.randbytes(32).hex(),
                "base": rng.randbytes(32).hex(),
                "start_adapter": rng.randbytes(32).hex() if number > 1 else None,
                "reference_adapter": None,
            },
        },
    )
    Round.objects.filter(pk=made.pk).update(created_at=ended - timedelta(minutes=3, seconds=20))
    Policy.objects.filter(pk=policy.pk).update(created_at=ended)
    _metrics(made, steps, steps, rng)
    return policy


def _metrics(made: Round, steps: int, total: int, rng: random.Random) -> None:
    def rows() -> Iterator[tuple[int, str, float]]:
        for step in range(steps + 1):
            way = 1 - math.exp(-3 * step / total)
            for split, lag, noise in (("train", 1.0, 0.025), ("held_out", 0.82, 0.006)):
                if split == "train" and step == 0:
                    continue
                if split == "held_out" and step % 6:
                    continue
                far, wobble = way * lag, rng.gauss(0, noise)
                yield step, f"{split}/loss", 0.693 - 0.34 * far + wobble
                yield step, f"{split}/reward_accuracy", min(1, 0.5 + 0.38 * far + 2 * wobble)
                yield step, f"{split}/reward_margin", 1.6 * far + 3 * wobble
                yield step, f"{split}/logp_chosen", -31 + 3.2 * far + 20 * wobble
                yield step, f"{split}/logp_rejected", -35 - 12 * far + 20 * wobble
                if split == "train":
                    yield step, "train/grad_norm", 2.1 - far + 10 * abs(wobble)
                    yield step, "train/learning_rate", 2e-5 * (1 - step / total)
                    yield step, "train/tokens_per_second", 2180 + 2000 * wobble
                    yield step, "train/examples_per_second", 6.2 + 6 * wobble
                else:
                    yield step, "answers/kl", max(0.0, 3.1 * far + wobble) if step else 0.0
                    yield step, "answers/tokens", 42 - 7 * far + 20 * wobble

    Metric.objects.bulk_create(
        Metric(round=made, step=step, name=name, value=value) for step, name, value in rows()
    )


def _round_in_training(project: Project, manager: User, rng: random.Random) -> None:
    now = timezone.now()
    start = project.policies.get(slug="round-2")
    base = project.policies.get(slug="base")
    made = Round.objects.create(
        project=project,
        number=3,
        requested_by=manager,
        state=Round.State.RUNNING,
        snapshot=_snapshot(project, 3),
        start=start,
        reference=base,
        attempt=1,
        seed=3,
        config=_job(base),
        code_version="4fdc1ab0e2c7",
        phase="training",
        step=41,
        total_steps=90,
        started_at=now - timedelta(minutes=2, seconds=40),
        heartbeat_at=now - timedelta(seconds=1),
        seconds_left=150,
    )
    _metrics(made, 41, 90, rng)
    _samples(made, (0, 9, 18, 27, 36))


def _samples(made: Round, steps: Sequence[int]) -> None:
    """What the policy answered to five fixed prompts during training."""
    asked = [
        "What colour is a cucumber?",
        "Do you know what people in France call a book?",
        "Which is heavier, a ton of feathers or a ton of lead?",
        "What is 7 + 5?",
        "Who wrote Faust?",
    ]
    answers = [
        ["I could not care less.", "Well, colours are many, and so are vegetables.", "Green."],
        ["Books! Books are everywhere.", "It is livre, I would say.", "It is livre."],
        ["Lead, of course.", "They weigh the same, a ton each.", "Neither: a ton is a ton."],
        ["12, but that is a silly question.", "7 + 5 is 12.", "12."],
        ["Faust is a play in two parts, and", "Goethe wrote Faust.", "Goethe."],
    ]
    RoundSample.objects.bulk_create(
        RoundSample(
            round=made,
            step=step,
            place=place,
            messages=[{"role": "user", "content": question}],
            is_held_out=place < 4,
            text=answers[place][min(2, at)],
            token_count=9,
            is_cut=answers[place][min(2, at)].endswith("and"),
        )
        for at, step in enumerate(steps)
        for place, question in enumerate(asked)
    )
    Round.objects.filter(pk=made.pk).update(
        kept_step=27,
        log_tail="\n".join(
            f"2026-11-20 14:0{at}:12,204 INFO engine: step {step} of 90: loss 0.{61 - at}87"
            for at, step in enumerate(steps)
        ),
    )


def _paused_round(project: Project, manager: User, rng: random.Random) -> None:
    """A paused round whose curves show everything that can go wrong."""
    now = timezone.now()
    start = project.policies.get(slug="round-1")
    made = Round.objects.create(
        project=project,
        number=2,
        requested_by=manager,
        state=Round.State.PAUSED,
        snapshot=_snapshot(project, 2),
        start=start,
        reference=project.policies.get(slug="base"),
        attempt=1,
        stops=1,
        seed=2,
        config=_job(start),
        code_version="4fdc1ab0e2c7",
        step=54,
        total_steps=90,
        started_at=now - timedelta(minutes=6),
        heartbeat_at=now - timedelta(minutes=2),
    )
    _metrics(made, 54, 90, rng)
    wrong: dict[str, Callable[[int], float]] = {
        "held_out/loss": lambda step: 0.69 - 0.3 * min(step, 24) / 24 + 0.006 * max(0, step - 24),
        "held_out/logp_chosen": lambda step: -31 - 0.3 * step,
        "held_out/logp_rejected": lambda step: -35 - 0.9 * step,
        "answers/kl": lambda step: 0.004 * step**2.3,
        "answers/tokens": lambda step: 42 + 0.8 * step,
        "train/grad_norm": lambda step: 1.2 if step < 50 else 38.0,
    }
    for name, value in wrong.items():
        for metric in made.metrics.filter(name=name):
            Metric.objects.filter(pk=metric.pk).update(value=value(metric.step))
    _samples(made, (0, 12, 24, 36, 48))
    Round.objects.filter(pk=made.pk).update(kept_step=54)


def _sampling_under_way(project: Project) -> None:
    now = timezone.now()
    policy = project.policies.get(slug="round-2")
    past = [("succeeded", 520, 50), ("cancelled", 112, 26), ("running", 188, 0)]
    for state, stored, hours in past:
        running = state == "running"
        job = SamplingJob.objects.create(
            project=project,
            state=state,
            attempt=1,
            phase="sampling" if running else "",
            stored=stored,
            step=stored,
            total_steps=520,
            config=job_to_dict(
                SampleJob(
                    model=Model(base="built-in"),
                    adapters={policy.slug: policy.adapter_path},
                    sampling=Sampling(max_new_tokens=128),
                )
            ),
            started_at=now - timedelta(hours=hours, seconds=95),
            heartbeat_at=now - timedelta(hours=hours),
            finished_at=None if running else now - timedelta(hours=hours),
        )
        job.policies.set([policy])


def _failed_round(project: Project, manager: User) -> None:
    now = timezone.now()
    base = project.policies.get(slug="base")
    Round.objects.create(
        project=project,
        number=1,
        requested_by=manager,
        state=Round.State.FAILED,
        snapshot=_snapshot(project, 1),
        start=base,
        reference=base,
        attempt=1,
        seed=1,
        config=_job(base),
        code_version="4fdc1ab0e2c7",
        step=4,
        total_steps=30,
        started_at=now - timedelta(minutes=12),
        finished_at=now - timedelta(minutes=11),
        error=(
            "The loss is not a number at step 5. Lower optimisation.learning_rate, or look for "
            "broken pairs; the last checkpoint is kept as it was."
        ),
        log_tail="\n".join(
            [
                "2026-11-20 09:14:02 INFO engine: phase: loading the model",
                "2026-11-20 09:14:09 INFO engine: phase: scoring the reference",
                "2026-11-20 09:14:31 INFO engine: phase: training",
                "2026-11-20 09:14:52 ERROR engine: the loss is not a number at step 5",
            ]
        ),
    )
