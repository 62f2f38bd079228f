"""Forms on the managers' comparisons page: finding comparisons, making items of them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotate.models import Comparison, Judgement

ANY = ("", _("Any"))
OUTCOMES = [choice for choice in Judgement.Outcome.choices if choice[0] != Judgement.Outcome.SKIP]


class FilterForm(forms.Form):
    """Which comparisons are shown."""

    q = forms.CharField(
        label=_("Words"),
        required=False,
        max_length=200,
        widget=forms.TextInput({"type": "search"}),
    )
    state = forms.ChoiceField(
        label=_("State"), required=False, choices=[ANY, *Comparison.State.choices]
    )
    result = forms.ChoiceField(
        label=_("Result"), required=False, choices=[ANY, *Comparison.Result.choices]
    )
    item = forms.ChoiceField(
        label=_("Used in"),
        required=False,
        choices=[
            ANY,
            ("practice", _("Practice item")),
            ("gold", _("Gold item")),
            ("none", _("Neither")),
        ],
    )


class ExpectedForm(forms.Form):
    """What may be chosen. A and B are the comparison's own, as this page shows them."""

    expected = forms.MultipleChoiceField(
        label=_("Right answers"),
        choices=OUTCOMES,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Tick at least one right answer.")},
    )

    def clean_expected(self) -> list[str]:
        expected: list[str] = self.cleaned_data["expected"]
        if len(expected) == len(OUTCOMES):
            raise forms.ValidationError(_("If every answer is right, there is nothing to learn."))
        return expected


class GoldForm(ExpectedForm):
    """A gold item: the expected outcome."""


class PracticeForm(ExpectedForm):
    """A practice item: the expected choices, and what is said after the answer."""

    field_order = ["expected", "feedback"]
    feedback = forms.CharField(
        label=_("Feedback"),
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_(
            "Shown after every answer, right or wrong: explain why the right one is right. "
            "Markdown."
        ),
    )


FORMS: dict[str, type[ExpectedForm]] = {"practice": PracticeForm, "gold": GoldForm}


def item_form(kind: str, data: Any = None, item: Any = None) -> ExpectedForm:
    """The form of one kind, filled with ``data`` or with what ``item`` says."""
    initial = {"expected": item.expected, "feedback": getattr(item, "feedback", "")} if item else {}
    return FORMS[kind](data, initial=initial, prefix=kind)
