"""People, for screenshots: a first visit, practice, gold, invitations, texts."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from annotate.models import Comparison, Invitation, Judgement, Membership, Project, User
from annotate.onboarding import consent, texts
from annotate.people import invitations, members
from annotate.quality import practice
from annotate.quality.gold import make_gold_item
from tests.browser.scenes.project import GUIDELINES, first_in_queue, make_project

CONSENT = """You will read answers that a language model wrote, and say which one is better.

- We keep **what you choose**, when, and how long it took. Your name stays within this project.
- You may stop at any time, and take your judgements with you.
- Some answers are wrong, and a few are rude.

Questions: ada@example.org
"""
LESSONS = [
    (
        "What is the capital of Portugal?",
        "Lisbon is the capital of Portugal.",
        "It is Porto, of course. Everybody knows that.",
        ["a"],
        "The second answer is **wrong**, and wrong is worse than dull.",
    ),
    (
        "Apologise to a customer, since the soup was cold.",
        "We are sorry that your soup was cold. The next one is on us.",
        "Soup gets cold. Next time eat faster.",
        ["a"],
        "Both are short. Only one is an apology.\n\n- Tone counts\n- So does the offer",
    ),
    (
        "Which word means the opposite of rich?",
        "Poor.",
        "The word is poor.",
        ["tie", "b"],
        "They say the same: *Tie* is right, and a slight preference is no fault.",
    ),
]


def show_people(ada: User, ben: User, cleo: User, dan: User, *, token: str) -> None:
    """``welcome`` is a project for first visits; ``helpdesk`` gets what managers create."""
    welcome = make_project("welcome", "First visits", ada, [ben, cleo, dan])
    Project.objects.filter(pk=welcome.pk).update(practice_pass_percent=80)
    texts.write(project=welcome, kind=texts.Kind.GUIDELINES, text=GUIDELINES, author=ada)
    texts.write(project=welcome, kind=texts.Kind.CONSENT, text=CONSENT, author=ada)
    for question, good, bad, expected, feedback in LESSONS:
        first_in_queue(welcome, question, good, bad)
        practice.make_practice_item(
            comparison=Comparison.objects.filter(project=welcome).latest("pk"),
            expected=expected,
            feedback=feedback,
            by=ada,
        )
    practised = Membership.objects.get(project=welcome, user=cleo)
    consent.give_consent(membership=practised, number=1)
    for item, outcome in zip(practice.items_of(welcome), "abb", strict=True):
        practice.answer(membership=practised, item=item, outcome=outcome)
    paused = Membership.objects.get(project=welcome, user=dan)
    consent.give_consent(membership=paused, number=1)
    texts.mark_read(membership=paused)
    Membership.objects.filter(pk=paused.pk).update(practised_at=timezone.now())
    members.pause(membership=paused, reason="Let us talk about the last ones on Monday.")
    _invite(welcome, ada, token)
    _manage(Project.objects.get(slug="helpdesk"), ada)


def _invite(project: Project, ada: User, token: str) -> None:
    for note, days, max_uses in (
        ("The agency in Leeds", 7, 12),
        ("", 30, None),
        ("Last year's students", -3, 40),
    ):
        invitations.invite(
            project=project,
            role=Membership.Role.RATER,
            by=ada,
            lasts=timedelta(days=days),
            max_uses=max_uses,
            note=note,
        )
    Invitation.objects.filter(project=project, note="").update(
        token_hash=invitations.hash_of(token)
    )


def _manage(project: Project, ada: User) -> None:
    for text, note in (
        (GUIDELINES, ""),
        (GUIDELINES.replace("It is polite;", "It is polite and warm;"), "Warmth counts, too"),
    ):
        texts.write(project=project, kind=texts.Kind.GUIDELINES, text=text, note=note, author=ada)
    texts.write(project=project, kind=texts.Kind.CONSENT, text=CONSENT, author=ada)
    for membership in project.memberships.filter(role=Membership.Role.RATER):
        consent.give_consent(membership=membership, number=1)
    settled = Comparison.objects.filter(project=project, state=Comparison.State.SETTLED)
    for comparison in settled.order_by("-pk")[:3]:
        practice.make_practice_item(
            comparison=comparison, expected=["a"], feedback="The *first* one.", by=ada
        )
    raters = list(project.memberships.filter(role=Membership.Role.RATER).select_related("user"))
    for index, comparison in enumerate(settled.order_by("pk")[:8]):
        gold = make_gold_item(comparison=comparison, expected=["a"], by=ada)
        for place, membership in enumerate(raters):
            Judgement.objects.create(
                project=project,
                comparison=gold.comparison,
                rater=membership.user,
                swapped=False,
                outcome="b" if (index + place) % 5 == 0 else "a",
                served_at=gold.created_at,
                expires_at=gold.created_at,
                decided_at=gold.created_at,
            )
    Project.objects.filter(pk=project.pk).update(gold_every=20, show_agreement=True)
