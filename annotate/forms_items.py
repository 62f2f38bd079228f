"""Forms on the managers' comparisons page: finding comparisons, making items of them."""

from __future__ import annotations

from typing import Any

from django import forms

from annotate.models import Comparison, Judgement

ANY = ("", "Any")
OUTCOMES = [choice for choice in Judgement.Outcome.choices if choice[0] != Judgement.Outcome.SKIP]


class FilterForm(forms.Form):
    """Which comparisons are shown."""

    q = forms.CharField(
        label="Words", required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    state = forms.ChoiceField(required=False, choices=[ANY, *Comparison.State.choices])
    result = forms.ChoiceField(required=False, choices=[ANY, *Comparison.Result.choices])
    item = forms.ChoiceField(
        label="Used as",
        required=False,
        choices=[ANY, ("practice", "Practice item"), ("gold", "Gold item"), ("none", "Neither")],
    )


class ExpectedForm(forms.Form):
    """What may be chosen. A and B are the comparison's own, as this page shows them."""

    expected = forms.MultipleChoiceField(
        label="Right answers",
        choices=OUTCOMES,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick at least one answer that is right."},
    )

    def clean_expected(self) -> list[str]:
        expected: list[str] = self.cleaned_data["expected"]
        if len(expected) == len(OUTCOMES):
            raise forms.ValidationError("If every answer is right, there is nothing to learn.")
        return expected


class GoldForm(ExpectedForm):
    """A gold item: the expected outcome."""


class PracticeForm(ExpectedForm):
    """A practice item: the expected choices, and what is said after the answer."""

    field_order = ["expected", "feedback"]
    feedback = forms.CharField(
        max_length=5000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Shown after the answer, whichever it was: why the right one is right. Markdown.",
    )


FORMS: dict[str, type[ExpectedForm]] = {"practice": PracticeForm, "gold": GoldForm}


def item_form(kind: str, data: Any = None, item: Any = None) -> ExpectedForm:
    """The form of one kind, filled with ``data`` or with what ``item`` says."""
    initial = {"expected": item.expected, "feedback": getattr(item, "feedback", "")} if item else {}
    return FORMS[kind](data, initial=initial, prefix=kind)
