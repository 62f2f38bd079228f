"""The project editor's form: what stands on the card, and how the work is shared out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from annotate.models import Project
from annotate.models.line_ups import FEWEST
from annotate.models.line_ups import MOST as MOST_ANSWERS

MOST = 12
LONGEST = 60


class LinesField(forms.CharField):
    """One thing a line; becomes a list of strings."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 4, "class": "lines"}), **kwargs
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        lines = [" ".join(line.split()) for line in str(super().clean(value)).splitlines()]
        lines = [line for line in lines if line]
        if len(lines) > MOST:
            raise forms.ValidationError(
                _("At most %(most)s lines; these are %(count)s."),
                params={"most": MOST, "count": len(lines)},
            )
        for line in lines:
            if len(line) > LONGEST:
                raise forms.ValidationError(
                    _("“%(line)s…” is longer than %(most)s characters."),
                    params={"line": line[:30], "most": LONGEST},
                )
        folded = [line.casefold() for line in lines]
        if twice := next((line for line in lines if folded.count(line.casefold()) > 1), None):
            raise forms.ValidationError(_("“%(line)s” is there twice."), params={"line": twice})
        return lines


class EditorForm(forms.ModelForm):  # type: ignore[type-arg]
    """Everything that a rater sees or feels, but for the guidelines and the consent text."""

    criteria_names = LinesField(
        label=_("Criteria, one a line"),
        help_text=_("Each is rated apart: A, B or tie. Such as Helpful, Honest, Harmless."),
    )
    reason_tag_names = LinesField(
        label=_("Reasons ready to pick, one a line"),
        help_text=_("Such as Wrong facts, Too long, Impolite."),
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
            "gold_every": _("A gold item about every … cards"),
            "practice_pass_percent": _("Practice is passed with … per cent right"),
            "show_agreement": _("Raters see how often others chose as they did"),
        }
        help_texts = {
            "name": _("Shown to everybody in the project."),
            "question": _("Asked beneath every two responses."),
            "strength_mode": _("Slightly or much better, by Shift or by a scale."),
            "reason_mode": _("In the rater's own words, or picked from those below."),
            "reason_min_length": _("0: a word will do."),
            "flags_on": "",
            "editing_on": _("It is kept as a demonstration, and preferred to both in training."),
            "judgements_wanted": _(
                "One is the fastest; with three, a majority decides and disagreement shows. Holds "
                "for comparisons made from now on."
            ),
            "lease_minutes": _(
                "How long an open comparison is kept for the rater who has it before it goes to "
                "somebody else."
            ),
            "line_up_size": _(
                "0: raters compare two at a time. With three to eight they put that many answers "
                "to one prompt into an order, which gives all the pairs. Holds for what is put "
                "together from now on; the model must write that many."
            ),
            "gold_every": _("Comparisons whose answer you know, served blindly. 0: none."),
            "practice_pass_percent": _("Empty: taking part is enough."),
            "show_agreement": _("Their own figure alone, never another's votes."),
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
        (_("How the work is shared"), ["judgements_wanted", "lease_minutes", "line_up_size"]),
        (_("Care for quality"), ["gold_every", "practice_pass_percent", "show_agreement"]),
    ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["criteria_names"] = [one["name"] for one in self.instance.criteria]
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
                _("Three to eight answers make an order; 0 stands for pairs.")
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
                "reason_min_length", _("Without a reason there is no shortest one: set 0.")
            )
        if cleaned.get("criteria_required") and cleaned.get("criteria_names") == []:
            self.add_error("criteria_required", _("There are no criteria to be rated."))
        return cleaned


def keyed(names: list[str], before: list[dict[str, str]]) -> list[dict[str, str]]:
    """Criteria with keys: one that was there keeps its key, so that judgements keep their sense."""
    known = {one["name"].casefold(): one["key"] for one in before}
    taken = {known[name.casefold()] for name in names if name.casefold() in known}
    found = []
    for name in names:
        key = known.get(name.casefold())
        if key is None:
            stem = slugify(name).replace("-", "_")[:40] or "criterion"
            key, number = stem, 2
            while key in taken or key in known.values():
                key, number = f"{stem}_{number}", number + 1
            taken.add(key)
        found.append({"key": key, "name": name})
    return found
