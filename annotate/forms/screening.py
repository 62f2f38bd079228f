"""The form in which a manager sets which completions raters never see."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from annotate.content.screening import ScreeningRules, as_stored, rules_of
from annotate.models import Project, ScreeningRule

MEANINGS = {
    ScreeningRule.EMPTY: _("Only white space."),
    ScreeningRule.CUT_OFF: _("The answer reached the length limit before it ended."),
    ScreeningRule.LOOPING: _("The same words again and again, one after the other."),
    ScreeningRule.IDENTITY: _(
        "The answer says which model it is or who made it, so that it is no longer blind."
    ),
    ScreeningRule.SAME: _("Another answer to the same prompt has the same words."),
}


class ScreeningForm(forms.Form):
    """A project's rules. ``save`` stores them; the caller then applies the rules again."""

    on = forms.MultipleChoiceField(
        label=_("Kept out of comparisons"),
        choices=ScreeningRule.choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    repeats = forms.IntegerField(
        label=_("Repetitions that count as a loop"),
        min_value=2,
        max_value=50,
        help_text=_("Directly one after the other, at least sixteen words in all."),
    )
    names = forms.CharField(
        label=_("Names that give an answer away"),
        required=False,
        help_text=_(
            "Models and makers, one a line. Looked for behind “I am” and “I was made by” and the "
            "like; the name of the model that wrote the answer is looked for anywhere."
        ),
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
    )

    def __init__(self, data: Any = None, *, project: Project) -> None:
        rules = rules_of(project.screening)
        initial = as_stored(rules) | {"names": "\n".join(rules.names)}
        super().__init__(data, initial=initial)
        self.project = project

    def clean_names(self) -> list[str]:
        lines = (" ".join(line.split()) for line in self.cleaned_data["names"].splitlines())
        names = list(dict.fromkeys(line for line in lines if line))
        if too_long := next((name for name in names if len(name) > 100), None):
            raise forms.ValidationError(
                _("“%(name)s…” is longer than 100 characters."), params={"name": too_long[:40]}
            )
        return names

    def save(self) -> None:
        """Store the rules with the project."""
        rules = ScreeningRules(
            on=frozenset(self.cleaned_data["on"]),
            repeats=self.cleaned_data["repeats"],
            names=tuple(self.cleaned_data["names"]),
        )
        self.project.screening = as_stored(rules)
        self.project.save(update_fields=["screening"])
