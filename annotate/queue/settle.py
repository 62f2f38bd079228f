"""From the judgements of one comparison to a preference pair, or to a recorded non-pair.

``settle`` is the rule and needs no database; ``settle_comparison`` applies it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from django.db import transaction
from django.utils import timezone

from annotate.db.fast_rows import insert, update
from annotate.models import Comparison, Completion, Judgement, PreferencePair
from annotate.queue.verdicts import same_text

CountedVote = Literal["a", "b", "tie", "both_bad"]


@dataclasses.dataclass(frozen=True)
class Settlement:
    """``result`` as in Comparison.Result; the rest only where it is a pair.

    ``weight`` is the winner's lead as a share of the votes (0 < weight <= 1), ``agreement``
    the winner's share of them.
    """

    result: Literal["pair", "tie", "both_bad", "no_majority"]
    chosen: Literal["a", "b"] | None = None
    weight: float = 0.0
    agreement: float = 0.0


def settle(votes: Sequence[CountedVote], wanted: int) -> Settlement | None:
    """The result of ``votes`` once ``wanted`` of them are in; None before that.

    A side, a tie or "both bad" needs more than half of the votes; anything else is no
    majority, and trains nothing.
    """
    if len(votes) < wanted:
        return None
    counts = Counter(votes)
    winner, most = counts.most_common(1)[0]
    if 2 * most <= len(votes):
        return Settlement("no_majority")
    if winner == "tie" or winner == "both_bad":
        return Settlement(winner)
    loser: CountedVote = "b" if winner == "a" else "a"
    return Settlement(
        "pair",
        chosen=winner,
        weight=(most - counts[loser]) / len(votes),
        agreement=most / len(votes),
    )


Counted = tuple[str | None, int, int | None]
"""A judgement that counts: its outcome, its key, its demonstration's."""


@transaction.atomic(savepoint=False)
def settle_comparison(*, comparison: Comparison, only: Counted | None = None) -> Settlement | None:
    """Settle an open comparison if its judgements suffice. The caller holds its row.

    ``only``: the one judgement there is, from a caller who knows that there is no other.
    """
    counted = [only] if only is not None else _counted(comparison)

    settlement = settle([vote for vote, _, _ in counted], comparison.judgements_wanted)  # type: ignore[misc]
    if settlement is None:
        return None
    comparison.state, comparison.result = Comparison.State.SETTLED, settlement.result
    comparison.settled_at = timezone.now()
    if not update(comparison, ["state", "result", "settled_at"], only="state = 'open'"):
        return None
    if settlement.chosen:
        a_won = settlement.chosen == "a"
        insert(
            PreferencePair(
                comparison=comparison,
                chosen_id=comparison.a_id if a_won else comparison.b_id,
                rejected_id=comparison.b_id if a_won else comparison.a_id,
                weight=settlement.weight,
                agreement=settlement.agreement,
            )
        )
    for _, judgement, demonstration in counted:
        if demonstration is not None:
            _prefer_edit(comparison, judgement_pk=judgement, edited_pk=demonstration)
    return settlement


def _counted(comparison: Comparison) -> list[Counted]:
    counted = Judgement.objects.counted().filter(comparison=comparison)
    return list(counted.order_by("pk").values_list("outcome", "pk", "demonstration"))


def _prefer_edit(comparison: Comparison, *, judgement_pk: int, edited_pk: int) -> None:
    """What a rater wrote is better than both; equal texts make no pair."""
    edited = Completion.objects.get(pk=edited_pk)
    PreferencePair.objects.bulk_create(
        PreferencePair(
            comparison=comparison,
            kind=PreferencePair.Kind.EDIT,
            judgement_id=judgement_pk,
            chosen=edited,
            rejected=original,
            weight=1.0,
            agreement=1.0,
        )
        for original in (comparison.a, comparison.b)
        if not same_text(edited.text, original.text)
    )


@transaction.atomic
def reopen_comparison(*, comparison: Comparison) -> bool:
    """Undo a settlement that no snapshot has frozen. False where one has, or it is withdrawn.

    The caller holds the comparison's row.
    """
    if comparison.state == Comparison.State.OPEN:
        return True
    if comparison.state == Comparison.State.VOID:
        return False
    pairs = PreferencePair.objects.filter(comparison=comparison)
    # Locked before they are looked at: a snapshot that is freezing them now comes first.
    if any(frozen for frozen in pairs.select_for_update().values_list("frozen_at", flat=True)):
        return False
    pairs.delete()
    Comparison.objects.filter(pk=comparison.pk).update(
        state=Comparison.State.OPEN, result="", settled_at=None
    )
    return True
