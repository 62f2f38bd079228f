"""Practice: prepared comparisons with feedback, before the first real card and whenever wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from annotate.models import Comparison, Membership, PracticeAnswer, PracticeItem, Project, User
from annotate.quality.items import set_aside, take_back


@dataclasses.dataclass(frozen=True)
class Practice:
    """How far a person has come in the present attempt."""

    items: Sequence[PracticeItem]
    answers: dict[int, PracticeAnswer]
    pass_percent: int | None

    @property
    def item(self) -> PracticeItem | None:
        """The next one to answer; None when all are."""
        return next((item for item in self.items if item.pk not in self.answers), None)

    @property
    def is_complete(self) -> bool:
        return bool(self.items) and self.item is None

    @property
    def went(self) -> list[PracticeAnswer]:
        """The answers so far, in the items' order."""
        return [self.answers[item.pk] for item in self.items if item.pk in self.answers]

    @property
    def right(self) -> int:
        return sum(answer.is_right for answer in self.answers.values())

    @property
    def is_passed(self) -> bool:
        return self.is_complete and passes(self.right, len(self.items), self.pass_percent)


def passes(right: int, of: int, percent: int | None) -> bool:
    """Whether this many right answers suffice. Without a rule, taking part does."""
    return percent is None or 100 * right >= percent * of


def items_of(project: Project) -> QuerySet[PracticeItem]:
    """The items in use, in their order."""
    return project.practice_items.filter(retired_at=None).select_related(
        "comparison__prompt", "comparison__a", "comparison__b"
    )


def practice_of(membership: Membership) -> Practice:
    """The present attempt of one person."""
    items = list(items_of(membership.project))
    answers = PracticeAnswer.objects.filter(
        item__in=items, user=membership.user_id, attempt=membership.practice_attempt
    )
    return Practice(
        items=items,
        answers={answer.item_id: answer for answer in answers},
        pass_percent=membership.project.practice_pass_percent,
    )


def answer(*, membership: Membership, item: PracticeItem, outcome: str) -> PracticeAnswer:
    """Keep what was chosen; the first choice of an attempt counts."""
    try:
        with transaction.atomic():
            practice_answer = PracticeAnswer.objects.create(
                item=item,
                user=membership.user,
                attempt=membership.practice_attempt,
                outcome=outcome,
                is_right=outcome in item.expected,
            )
    except IntegrityError:
        practice_answer = PracticeAnswer.objects.get(
            item=item, user=membership.user, attempt=membership.practice_attempt
        )
    if membership.practised_at is None and practice_of(membership).is_passed:
        membership.practised_at = timezone.now()
        membership.save(update_fields=["practised_at"])
    return practice_answer


def again(*, membership: Membership) -> bool:
    """Begin a new attempt. False where the present one has not come to its end."""
    if not practice_of(membership).is_complete:
        return False
    return bool(
        Membership.objects.filter(
            pk=membership.pk, practice_attempt=membership.practice_attempt
        ).update(practice_attempt=membership.practice_attempt + 1)
    )


# --- what managers do ---


@transaction.atomic
def make_practice_item(
    *, comparison: Comparison, expected: Sequence[str], feedback: str, by: User
) -> PracticeItem:
    """Prepare ``comparison`` for practice, or change what is expected there.

    Where it was still open it leaves the queue: anybody who has practised on it knows the answer.
    """
    last = comparison.project.practice_items.order_by("-position").first()
    item, is_new = PracticeItem.objects.get_or_create(
        comparison=comparison,
        defaults={
            "project": comparison.project,
            "expected": list(expected),
            "feedback": feedback.strip(),
            "position": last.position + 1 if last else 1,
            "created_by": by,
        },
    )
    if not is_new:
        item.expected = list(expected)
        item.feedback = feedback.strip()
        item.retired_at = None
        item.save(update_fields=["expected", "feedback", "retired_at"])
    set_aside(comparison)
    return item


@transaction.atomic
def retire_practice_item(*, item: PracticeItem) -> None:
    """Take an item out of practice; answers are kept, the comparison returns to the queue."""
    item.retired_at = timezone.now()
    item.save(update_fields=["retired_at"])
    take_back(item.comparison)
