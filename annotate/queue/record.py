"""A verdict arrives: stored once, settled at once, and kept even where it came too late."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.utils import timezone

from annotate.content.demonstrations import store_demonstration
from annotate.db.fast_rows import update
from annotate.db.write_lock import write_lock
from annotate.models import Comparison, Judgement, User
from annotate.queue import sql
from annotate.queue.history import CannotUndo, take_back
from annotate.queue.leases import CARDS
from annotate.queue.settle import settle_comparison
from annotate.queue.verdicts import (
    NO_DETAILS,
    CheckedVerdict,
    VerdictDetails,
    VerdictRefused,
    check_verdict,
    options_of,
    outcome_of,
)
from annotate.rendering.render import render

Status = Literal["stored", "repeated", "conflicting", "late", "undone"]


class UnknownJudgement(LookupError):
    """No card with that code was served to that rater."""


@dataclasses.dataclass(frozen=True)
class RecordedVerdict:
    """What a click resulted in.

    ``stored``: counted now; ``repeated``: the same click had been counted before;
    ``conflicting``: a different verdict is on record and stays; ``late``: the lease had
    expired and others have finished the comparison, so it is kept and does not count;
    ``undone``: the card was reopened elsewhere.
    """

    status: Status
    judgement: Judgement


def record_verdict(
    *,
    code: UUID,
    rater: User,
    choice: str,
    details: VerdictDetails = NO_DETAILS,
    now: datetime | None = None,
) -> RecordedVerdict:
    """Store what ``rater`` sent for the card ``code``, once.

    Raises UnknownJudgement where that rater was never served that card, and VerdictRefused,
    with the fields named and nothing stored, where the verdict is invalid.
    """
    now = now or timezone.now()
    html = render(details.edit) if details.edit else ""  # slow, so before the transaction
    with write_lock():
        # Everything about one comparison happens in turn: the last two votes must see each other.
        comparison = sql.locked_comparison(code, rater.pk)
        if comparison is None:
            raise UnknownJudgement(code)
        judgement = sql.judgement_by_code(code)
        if judgement.decided_at is not None:
            return RecordedVerdict(_status_again(judgement, comparison, choice, details), judgement)
        answer = _check(judgement, comparison, choice, details)
        if judgement.retracted_at is not None and not _has_lapsed(judgement):
            return RecordedVerdict("undone", judgement)
        counts = _claim(judgement, comparison, now)
        _store(judgement, comparison, answer, html=html, counts=counts, now=now)
    return RecordedVerdict("stored" if counts else "late", judgement)


def _check(
    judgement: Judgement, comparison: Comparison, choice: str, details: VerdictDetails
) -> CheckedVerdict:
    texts = {"a": comparison.a.text, "b": comparison.b.text} if details.edit else {}
    return check_verdict(
        choice=choice,
        details=details,
        options=options_of(judgement.project),
        swapped=judgement.swapped,
        texts=texts,
    )


def _status_again(
    judgement: Judgement, comparison: Comparison, choice: str, details: VerdictDetails
) -> Status:
    """What to say of a card that has its verdict."""
    if judgement.is_late:
        return "late"
    if judgement.retracted_at is not None:
        return "undone"
    try:
        same = _check(judgement, comparison, choice, details).is_kept_in(judgement)
    except VerdictRefused:  # the project asks for more than it did: compare what it always asked
        same = outcome_of(choice, swapped=judgement.swapped) == judgement.outcome
    return "repeated" if same else "conflicting"


def _has_lapsed(judgement: Judgement) -> bool:
    """Whether this reopened card ran out of time and the former verdict counts again."""
    former = judgement.replaces
    return former is not None and judgement.released_at is not None and former.retracted_at is None


def _claim(judgement: Judgement, comparison: Comparison, now: datetime) -> bool:
    """Whether the verdict can count; then the slot is the judgement's and no other row's."""
    if judgement.retracted_at is not None and judgement.replaces is not None:
        try:
            take_back(judgement=judgement.replaces, comparison=comparison, now=now)
        except CannotUndo:
            return False
        judgement.retracted_at = None
        return True
    if judgement.released_at is not None:
        return CARDS.take(comparison.pk)
    return comparison.state == Comparison.State.OPEN


def _store(
    judgement: Judgement,
    comparison: Comparison,
    answer: CheckedVerdict,
    *,
    html: str,
    counts: bool,
    now: datetime,
) -> None:
    for name, value in answer.fields().items():
        setattr(judgement, name, value)
    judgement.decided_at = now
    if counts:
        judgement.released_at = None
        if answer.edited_text:
            judgement.demonstration = store_demonstration(
                project=judgement.project,
                prompt_id=comparison.prompt_id,
                text=answer.edited_text,
                html=html,
            )
    else:
        judgement.is_late = True
        judgement.retracted_at = now
    update(judgement, STORED)
    if not counts:
        return
    if answer.outcome == Judgement.Outcome.SKIP:
        CARDS.give_back(comparison.pk)
    elif comparison.judgements_wanted == 1:  # its only slot is this judgement's
        only = (judgement.outcome, judgement.pk, judgement.demonstration_id)
        settle_comparison(comparison=comparison, only=only)
    else:
        settle_comparison(comparison=comparison)


STORED = [
    *(field.name for field in dataclasses.fields(CheckedVerdict)),
    *("demonstration", "decided_at", "released_at", "retracted_at", "is_late"),
]
