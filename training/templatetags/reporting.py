"""What the report's tables go through, row by row."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from annotate.models import Comparison
from training.exports.report import RoundReport
from training.exports.side_by_side import AnswerStyle
from training.models import Round
from training.stats.win_rates import WinRate

register = template.Library()


@register.filter
def accuracies(report: RoundReport) -> list[tuple[str, WinRate, str]]:
    """The shares of held-out pairs, each with what it says."""
    accuracy = report.accuracy
    if accuracy is None:
        return []
    rows = [
        (
            _("Reward accuracy"),
            accuracy.rewarded,
            _("Relative to the reference, the policy favours the chosen answer more than before."),
        ),
        (
            _("Ranking accuracy"),
            accuracy.ranked,
            _("The new policy itself finds the chosen answer likelier than the rejected one."),
        ),
        (
            _("Ranking accuracy at the start"),
            accuracy.ranked_at_start,
            _("The same for the policy it was trained from."),
        ),
        (
            _("Ranking accuracy of the reference"),
            accuracy.ranked_by_reference,
            _("The same for the reference: the number to beat."),
        ),
    ]
    return [(name, share, explanation) for name, share, explanation in rows if share is not None]


@register.filter
def shares(manner: AnswerStyle) -> list[WinRate]:
    """In the order of the table's columns."""
    return [manner.looping, manner.refusing, manner.cut_off]


@register.filter
def is_share(value: object) -> bool:
    return isinstance(value, WinRate)


@register.filter
def signed(value: float) -> str:
    """With three decimals, and a true minus sign."""
    return number_format(f"{value:.3f}").replace("-", "\N{MINUS SIGN}")


@register.filter
def rounds_trained_on(comparison: Comparison) -> list[int]:
    """The numbers of the rounds that trained on a pair of ``comparison``, the first one first."""
    trained = Round.objects.filter(
        snapshot__pairs__comparison=comparison,
        snapshot__pairs__comparison__prompt__is_held_out=False,
    )
    return list(trained.distinct().order_by("number").values_list("number", flat=True))
