"""What the report's tables go through, row by row."""

from __future__ import annotations

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from training.exports.report import RoundReport
from training.exports.side_by_side import AnswerStyle
from training.stats.win_rates import WinRate

register = template.Library()


@register.filter
def accuracies(report: RoundReport) -> list[tuple[str, WinRate, str]]:
    """The shares of held-out pairs, each with what it says."""
    found = report.accuracy
    if found is None:
        return []
    rows = [
        (
            _("Reward accuracy"),
            found.rewarded,
            _("Relative to the reference, the policy favours the chosen answer more than before."),
        ),
        (
            _("Ranking accuracy"),
            found.ranked,
            _("The new policy itself finds the chosen answer likelier than the rejected one."),
        ),
        (
            _("Ranking accuracy at the start"),
            found.ranked_at_start,
            _("The same for the policy it was trained from."),
        ),
        (
            _("Ranking accuracy of the reference"),
            found.ranked_by_reference,
            _("The same for the reference: the number to beat."),
        ),
    ]
    return [(name, share, words) for name, share, words in rows if share is not None]


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
