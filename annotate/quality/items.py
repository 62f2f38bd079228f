"""What practice and gold items have in common: the comparison that they are made from."""

from __future__ import annotations

from annotate.models import Comparison, GoldItem, PracticeItem

State = Comparison.State


def set_aside(comparison: Comparison) -> None:
    """Take a comparison that is still open out of the queue; a settled one stays as it is.

    Nobody is to meet the same two answers once as a card and once as an item.
    """
    Comparison.objects.filter(pk=comparison.pk, state=State.OPEN).update(state=State.VOID)


def take_back(comparison: Comparison) -> None:
    """Back into the queue, unless another item still needs it."""
    if (
        PracticeItem.objects.filter(comparison=comparison, retired_at=None).exists()
        or GoldItem.objects.filter(source=comparison, retired_at=None).exists()
    ):
        return
    Comparison.objects.filter(pk=comparison.pk, state=State.VOID, withdrawn_at=None).update(
        state=State.OPEN
    )
