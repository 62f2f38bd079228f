"""Whether a completion has met another: in a comparison, or in a line-up."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Q

from annotate.models import Comparison, LineUp, LineUpPlace


def has_met(outside: str = "") -> Q:
    """For a filter of completions; ``outside``: meetings of that purpose do not count."""
    return _compared(withdrawn=False, outside=outside) | _lined_up(withdrawn=False)


def has_ever_met() -> Q:
    """Like ``has_met``, but withdrawn comparisons count too: they may come back."""
    return _compared(withdrawn=True) | _lined_up(withdrawn=True)


def _compared(*, withdrawn: bool, outside: str = "") -> Q:
    comparisons = Comparison.objects.filter(Q(a=OuterRef("pk")) | Q(b=OuterRef("pk")))
    return Q(
        Exists(
            (comparisons if withdrawn else comparisons.filter(withdrawn_at=None)).exclude(
                purpose=outside
            )
        )
    )


def _lined_up(*, withdrawn: bool) -> Q:
    places = LineUpPlace.objects.filter(completion=OuterRef("pk"))
    if not withdrawn:
        places = places.exclude(line_up__state=LineUp.State.VOID)
    return Q(Exists(places))
