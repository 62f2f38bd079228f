"""The project editor's form: what stands on the card, and how the work is shared out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from annotate.forms.fields import NamesField
from annotate.models import Project
from annotate.models.line_ups import FEWEST
from annotate.models.line_ups import MOST as MOST_ANSWERS


class EditorForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything that shapes a rater's work, except the guidelines and the consent text."""

    criteria_names = NamesField(
        label=_("Criteria, one a line"),
        help_text=_(
            "Each is rated separately: A, B or tie. For example Helpful, Honest, Harmless."
        ),
    )
    reason_tag_names = NamesField(
        label=_("Reasons ready to pick, one a line"),
        help_text=_("For example Wrong facts, Too long, Impolite."),
    )

    class Meta:
        model = Project
        fields = [
            "name",
            "question",
            "strength_mode",
            "criteria_required",
            "reason_mode",
            "reason_min_length",
            "flags_on",
            "editing_on",
            "judgements_wanted",
            "lease_minutes",
            "line_up_size",
            "compares_own_answers",
            "gold_every",
            "practice_pass_percent",
            "show_agreement",
        ]
        labels = {
            "name": _("Name"),
            "question": _("Question"),
            "strength_mode": _("How much better"),
            "criteria_required": _("Every criterion must be rated"),
            "reason_mode": _("A reason"),
            "reason_min_length": _("Shortest reason, in characters"),
            "flags_on": _("Raters can flag an answer: unsafe, personal data, broken, cannot judge"),
            "editing_on": _("Raters can write a better answer"),
            "judgements_wanted": _("Judgements for each comparison"),
            "lease_minutes": _("Minutes to judge"),
            "line_up_size": _("Answers put into an order at once"),
            "compares_own_answers": _("Two answers of the same policy may meet too"),
            "gold_every": _("A gold item about every … cards"),
            "practice_pass_percent": _("Practice is passed at … per cent correct"),
            "show_agreement": _("Raters see how often others chose as they did"),
        }
        help_texts = {
            "name": _("Shown to everybody in the project."),
            "question": _("Shown below every pair of responses."),
            "strength_mode": _("Slightly or much better, by Shift or by a scale."),
            "reason_mode": _("In the rater's own words, or picked from those below."),
            "reason_min_length": _("0: one word is enough."),
            "flags_on": "",
            "editing_on": _("Stored as a demonstration; training prefers it to both answers."),
            "judgements_wanted": _(
                "One is the fastest; with three, a majority decides and disagreement shows. "
                "Applies to new comparisons."
            ),
            "lease_minutes": _(
                "How long an open comparison is reserved for a rater before it goes to another."
            ),
            "line_up_size": _(
                "0: raters compare two answers at a time. With three to eight, they rank that "
                "many answers to one prompt, which gives all the pairs at once. Applies to "
                "new comparisons; the model must write at least that many answers."
            ),
            "compares_own_answers": _(
                "In at most one of ten comparisons. Off: where there are two policies or more, "
                "only answers of different ones meet. A policy that is alone always meets itself."
            ),
            "gold_every": _("Comparisons with a known answer, mixed in unseen. 0: none."),
            "practice_pass_percent": _("Empty: no pass mark."),
            "show_agreement": _("Only their own figure, never another person's votes."),
        }
        error_messages = {"question": {"required": _("A card needs a question.")}}

    GROUPS = [
        (_("The card"), ["name", "question"]),
        (
            _("What else is asked"),
            [
                "strength_mode",
                "criteria_names",
                "criteria_required",
                "reason_mode",
                "reason_min_length",
                "reason_tag_names",
                "flags_on",
                "editing_on",
            ],
        ),
        (
            _("How work is shared out"),
            ["judgements_wanted", "lease_minutes", "line_up_size", "compares_own_answers"],
        ),
        (_("Quality"), ["gold_every", "practice_pass_percent", "show_agreement"]),
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["criteria_names"] = [criterion["name"] for criterion in self.instance.criteria]
        self.initial["reason_tag_names"] = list(self.instance.reason_tags)
        for name in ("reason_min_length", "gold_every", "line_up_size"):
            self.fields[name].required = False

    def groups(self) -> list[tuple[str, list[Any]]]:
        """The fields under their headings."""
        return [(str(title), [self[name] for name in names]) for title, names in self.GROUPS]

    def clean_reason_min_length(self) -> int:
        return self.cleaned_data["reason_min_length"] or 0

    def clean_gold_every(self) -> int:
        return self.cleaned_data["gold_every"] or 0

    def clean_line_up_size(self) -> int:
        size: int = self.cleaned_data["line_up_size"] or 0
        if size and not FEWEST <= size <= MOST_ANSWERS:
            raise forms.ValidationError(
                _("Three to eight answers can be ranked at once; 0 means pairs.")
            )
        return size

    def clean_criteria_names(self) -> list[str]:
        names: list[str] = self.cleaned_data["criteria_names"]
        self.instance.criteria = keyed(names, self.instance.criteria)
        return names

    def clean_reason_tag_names(self) -> list[str]:
        names: list[str] = self.cleaned_data["reason_tag_names"]
        self.instance.reason_tags = names
        return names

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        is_off = cleaned.get("reason_mode") == Project.Asked.OFF
        if is_off and cleaned.get("reason_min_length"):
            self.add_error(
                "reason_min_length", _("A shortest reason needs reasons to be asked for: set 0.")
            )
        if cleaned.get("criteria_required") and cleaned.get("criteria_names") == []:
            self.add_error("criteria_required", _("There are no criteria to be rated."))
        return cleaned


def keyed(names: list[str], before: list[dict[str, str]]) -> list[dict[str, str]]:
    """Criteria with keys: one that was there keeps its key, so that judgements stay valid."""
    known = {criterion["name"].casefold(): criterion["key"] for criterion in before}
    taken = {known[name.casefold()] for name in names if name.casefold() in known}
    criteria = []
    for name in names:
        key = known.get(name.casefold())
        if key is None:
            stem = slugify(name).replace("-", "_")[:40] or "criterion"
            key, number = stem, 2
            while key in taken or key in known.values():
                key, number = f"{stem}_{number}", number + 1
            taken.add(key)
        criteria.append({"key": key, "name": name})
    return criteria
