"""The pages of a project in use, for tests that look at every one of them."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotate.models import Comparison, Invitation, Judgement, Membership, Policy, Project, User
from annotate.onboarding import consent, texts
from annotate.people import invitations, members
from annotate.quality.gold import make_gold_item
from annotate.quality.practice import make_practice_item
from annotate.queue.line_ups import make_line_up
from annotate.queue.settle import settle_comparison
from tests.factories import make_comparison, make_completion, make_policy, make_project, make_prompt
from training.models import (
    ChampionTerm,
    Delivery,
    Endpoint,
    Event,
    Gate,
    HubPush,
    LoopSettings,
    Metric,
    Recipient,
    Round,
    SamplingJob,
    Snapshot,
    Tryout,
    TryoutAnswer,
)

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

JUDGED = 7_000_000
"""The pk of the comparison that was judged."""

SERVED = 7_000_001
"""The pk of the endpoint."""

TRIED = 7_000_002
"""The pk of the tryout in the playground."""

TOKEN = "come-in"
"""The token of an invitation to a project that the manager is not a member of."""

PROJECT_PAGES = [
    "",
    "rounds/",
    "rounds/new/",
    "rounds/when/",
    "rounds/1/",
    "rounds/2/report/",
    "rounds/compare/?a=1&b=2",
    "ranking/",
    "rewards/",
    "policies/",
    "policies/candidate/",
    "completions/",
    "completions/screening/",
    "comparisons/",
    f"comparisons/{JUDGED}/",
    "pairs/",
    "import/",
    "endpoints/",
    "endpoints/new/",
    f"endpoints/{SERVED}/",
    "playground/",
    f"playground/{TRIED}/",
    "people/",
    "invitations/",
    "settings/",
    "settings/notifications/",
    "settings/notifications/deliveries/",
    "card/",
    "texts/guidelines/",
    "texts/guidelines/1/",
    "texts/consent/",
    "rate/",
    "guidelines/",
    "consent/",
    "practice/",
    "history/",
    "progress/",
    "about-me/",
    "rank/",
]
"""Paths below /p/sharpen/. Every page of a project belongs here."""

PAGES = [
    "/",
    "/new/",
    "/you/",
    *(f"/p/sharpen/{path}" for path in PROJECT_PAGES),
    "/p/plain/rate/",
    "/p/fresh/rate/",
    f"/join/{TOKEN}/",
    "/join/unknown/",
    "/p/no/",
]

ABSENT = {"/join/unknown/", "/p/no/"}
"""Those of PAGES that answer 404."""


def fill(project: Project) -> Round:
    """A project in use, with everything asked on its card, and three more projects:
    ``plain`` with a card that asks for nothing but the verdict, ``fresh`` with nothing at all,
    ``next-door`` with an invitation."""
    LoopSettings.objects.create(project=project, base_model="some/model")
    _ask_for_everything(project)
    _card(project)
    round_ = _training(project)
    _served(project)
    _people(project)
    _line_up(project)
    _ranked(project)
    _afterwards(project)
    _card(_beside(project, "plain"))
    _beside(project, "fresh")
    manager = project.memberships.get(role=Membership.Role.MANAGER).user
    _invite(make_project("next-door", name="Next door"), by=manager)
    return round_


def _ask_for_everything(project: Project) -> None:
    project.strength_mode = Project.Asked.OPTIONAL
    project.criteria = [{"key": key, "name": key.title()} for key in ("helpful", "honest")]
    project.reason_mode = Project.Asked.REQUIRED
    project.reason_min_length = 20
    project.reason_tags = ["Wrong facts", "Too long"]
    project.flags_on = project.editing_on = project.show_agreement = True
    project.save()


def _card(project: Project) -> None:
    policy = make_policy(project)
    prompt = make_prompt(project, MIXED)
    make_comparison(
        project,
        prompt=prompt,
        a=make_completion(prompt, policy, MIXED),
        b=make_completion(prompt, policy, "مرحبا بالعالم. " * 20 + "\n\n漢字かな交じり文。" * 20),
    )


def _line_up(project: Project) -> None:
    project.line_up_size = 3
    project.save(update_fields=["line_up_size"])
    policy, prompt = make_policy(project), make_prompt(project, f"Another one. {MIXED}")
    answers = [
        make_completion(prompt, policy, text) for text in (MIXED, "Short.", "مرحبا بالعالم. ")
    ]
    make_line_up(
        project=project,
        prompt_id=prompt.pk,
        completions=[answer.pk for answer in answers],
        priority=0,
    )


def _training(project: Project) -> Round:
    base = make_policy(project, "base", kind=Policy.Kind.BASE, base_model="some/model")
    snapshot = Snapshot.objects.create(
        project=project, counts={"train": 3, "held_out": 1}, sha256="ab" * 32, path="absent"
    )
    round_ = Round.objects.create(
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
            Metric.objects.create(round=round_, step=step, name=name, value=0.7 - step / 10)
    job = SamplingJob.objects.create(
        project=project, state=SamplingJob.State.RUNNING, stored=1, total_steps=9
    )
    job.policies.set([base])
    return round_


def _ranked(project: Project) -> None:
    """Votes between a candidate and the champion, whose gate is open."""
    base = project.policies.get(slug="base")
    Policy.objects.filter(pk=base.pk).update(state=Policy.State.CHAMPION)
    candidate = make_policy(
        project, "candidate", parent=base, state=Policy.State.CANDIDATE, base_model="some/model"
    )
    raters = [membership.user for membership in project.memberships.all()]
    for number in range(24):
        prompt = make_prompt(project, held_out=True)
        prompt.tags = ["maths"]
        prompt.save()
        judged = make_comparison(
            project,
            prompt=prompt,
            a=make_completion(prompt, candidate),
            b=make_completion(prompt, base),
            purpose=Comparison.Purpose.GATE,
        )
        _judge(judged, raters[number % len(raters)])
    Gate.objects.create(project=project, candidate=candidate, champion=base)
    ChampionTerm.objects.create(project=project, policy=base)


def _afterwards(project: Project) -> None:
    """A round that has succeeded, with metrics, a push and notifications."""
    running = project.rounds.get(number=1)
    candidate = project.policies.get(slug="candidate")
    round_ = Round.objects.create(
        project=project,
        number=2,
        snapshot=running.snapshot,
        start=running.start,
        reference=running.reference,
        policy=candidate,
        state=Round.State.SUCCEEDED,
        total_steps=4,
        config={"kind": "dpo", "beta": 0.1},
        started_at=timezone.now() - timedelta(minutes=2),
        finished_at=timezone.now(),
        result={
            "adapter_sha256": "cd" * 32,
            "device": "cpu",
            "held_out": {
                "pairs": 40,
                "ranked": 22.0,
                "reference_ranked": 20.0,
                "rewarded": 31.0,
                "margin_quantiles": {"5": -1.5, "25": 0.1, "50": 0.4, "75": 1.0, "95": 2.5},
            },
        },
    )
    for name, first, last in (("loss", 0.69, 0.5), ("reward_accuracy", 0.5, 0.78)):
        for step, value in ((0, first), (4, last)):
            Metric.objects.create(round=round_, step=step, name=f"held_out/{name}", value=value)
    HubPush.objects.create(
        round=round_, what="adapter", repo="a-rather-long-owner/and-a-long-name-of-the-model"
    )
    hook = Recipient.objects.create(
        project=project,
        kind=Recipient.Kind.WEBHOOK,
        address="https://hooks.example.org/a/rather/long/address/that/goes/on?room=training",
        events=list(Event.values),
    )
    Delivery.objects.create(
        recipient=hook,
        event=Event.SUCCEEDED,
        key="round:2",
        subject="Sharpen: round 2 has succeeded",
        body='{"type": "round.succeeded"}',
        state=Delivery.State.GIVEN_UP,
        attempt=11,
        answer="hooks.example.org:443 cannot be reached, or broke off.",
    )


def _served(project: Project) -> None:
    """An endpoint with an error, and a tryout that is half answered."""
    policy = make_policy(project, "served", kind=Policy.Kind.ENDPOINT)
    endpoint = Endpoint.objects.create(
        pk=SERVED,
        project=project,
        policy=policy,
        url="https://models.example.org/a/rather/long/path/v1",
        model="a-model-with-a-rather-long-name-70b-instruct",
        key_sealed="sealed",
        sent=["temperature", "seed"],
        stop=["###"],
        prompt_tokens=1_234_567,
        completion_tokens=345_678,
        cost=12.5,
        price_prompt=2,
        adapters_of="some/model",
    )
    job = SamplingJob.objects.create(
        project=project,
        endpoint=endpoint,
        state=SamplingJob.State.FAILED,
        error="The endpoint refuses the key (401). It said: “no such key”",
        stored=3,
        total_steps=8,
        completion_tokens=300,
        cost=0.0012,
    )
    job.policies.set([policy])
    tryout = Tryout.objects.create(
        pk=TRIED, project=project, messages=[{"role": "user", "content": "Why? " * 40}]
    )
    sides = ((TryoutAnswer.Side.A, "succeeded", MIXED), (TryoutAnswer.Side.B, "running", "So far"))
    for side, state, text in sides:
        TryoutAnswer.objects.create(
            tryout=tryout,
            side=side,
            policy=policy,
            state=state,
            text=text,
            token_count=480,
            started_at=timezone.now(),
            finished_at=timezone.now() if state == "succeeded" else None,
        )


def _beside(project: Project, slug: str) -> Project:
    """Another project with the same members."""
    made = make_project(slug, name=slug.title())
    for membership in project.memberships.all():
        made.memberships.create(user=membership.user, role=membership.role)
    return made


def _people(project: Project) -> None:
    """Texts in versions, a consent, a pause, invitations, practice, gold and verdicts."""
    manager = project.memberships.get(role=Membership.Role.MANAGER)
    first, second = project.memberships.filter(role=Membership.Role.RATER).order_by("pk")[:2]
    for kind, text, note in (
        (texts.Kind.GUIDELINES, "Choose the *kinder* one.\n", ""),
        (texts.Kind.GUIDELINES, f"Choose the **kinder** one.\n\n{MIXED}", "Longer by far"),
        (texts.Kind.CONSENT, "We keep **what you choose**.", ""),
    ):
        texts.write(project=project, kind=kind, text=text, note=note, author=manager.user)
    for membership in (manager, first):
        consent.give_consent(membership=membership, number=1)
    members.pause(membership=second, reason="On holiday until the end of the month")
    for days in (7, -1):
        invitations.invite(
            project=project,
            role=Membership.Role.RATER,
            by=manager.user,
            lasts=timedelta(days=days),
            max_uses=5,
            note="For the new people",
        )
    for expected in (["a"], ["tie", "b"]):
        make_practice_item(
            comparison=make_comparison(project),
            expected=expected,
            feedback="Look at the **end**.",
            by=manager.user,
        )
    make_gold_item(comparison=make_comparison(project), expected=["a"], by=manager.user)
    _judge(make_comparison(project, wanted=2, pk=JUDGED), manager.user, first.user)


def _judge(comparison: Comparison, *raters: User) -> None:
    for rater in raters:
        now = timezone.now()
        Judgement.objects.create(
            project=comparison.project,
            comparison=comparison,
            rater=rater,
            swapped=False,
            outcome=Judgement.Outcome.A,
            strength=Judgement.Strength.MUCH,
            reason="It answers what was asked.",
            served_at=now - timedelta(seconds=12),
            expires_at=now,
            decided_at=now,
        )
    Comparison.objects.filter(pk=comparison.pk).update(judgements_taken=len(raters))
    settle_comparison(comparison=comparison)


def _invite(project: Project, *, by: User) -> None:
    invitation, _ = invitations.invite(
        project=project, role=Membership.Role.RATER, by=by, lasts=timedelta(days=7)
    )
    Invitation.objects.filter(pk=invitation.pk).update(token_hash=invitations.hash_of(TOKEN))
