"""The form of a person's own settings. Errors about a key stand beside its action."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import User
from annotate.people.preferences import (
    ACTIONS,
    KEYS_AN_ACTION,
    PROFILES,
    STANDARD,
    TEXT_SIZES,
    THEMES,
    Keys,
    UnusableKey,
    cap,
    preference,
    read_key,
    save_preferences,
)

PROFILE_LABELS = {
    "standard": gettext_lazy("Numbers and letters"),
    "arrows": gettext_lazy("Arrow keys: ← A, → B, ↑ tie, ↓ both bad"),
    "own": gettext_lazy("My own, as listed below"),
    "off": gettext_lazy("None: I use the buttons"),
}
TEXT_LABELS = {
    "small": gettext_lazy("Small"),
    "normal": gettext_lazy("Normal"),
    "large": gettext_lazy("Large"),
    "larger": gettext_lazy("Larger"),
}
THEME_LABELS = {
    "auto": gettext_lazy("As the system has it"),
    "light": gettext_lazy("Light"),
    "dark": gettext_lazy("Dark"),
    "contrast": gettext_lazy("High contrast"),
}


class PreferencesForm(forms.Form):
    """Profile, own keys, text size, appearance."""

    profile = forms.ChoiceField(
        choices=[(name, PROFILE_LABELS[name]) for name in PROFILES], widget=forms.RadioSelect
    )
    text = forms.ChoiceField(
        choices=[(name, TEXT_LABELS[name]) for name in TEXT_SIZES], widget=forms.RadioSelect
    )
    theme = forms.ChoiceField(
        choices=[(name, THEME_LABELS[name]) for name in THEMES], widget=forms.RadioSelect
    )

    def __init__(self, data: QueryDict | None = None, *, user: User) -> None:
        self.user = user
        own = user.preferences.get("keys") or STANDARD
        initial = {
            "profile": preference(user, "profile", PROFILES) or "standard",
            "text": preference(user, "text", TEXT_SIZES) or "normal",
            "theme": preference(user, "theme", THEMES) or "auto",
        }
        for action in ACTIONS:
            for number, key in enumerate(own.get(action, [])):
                initial[_name(action, number)] = cap(key)
        super().__init__(data, initial=initial)
        for action in ACTIONS:
            for number in range(KEYS_AN_ACTION):
                self.fields[_name(action, number)] = _key_field(action, number)

    def rows(self) -> list[dict[str, Any]]:
        """One row an action: its words, its fields, what is wrong with them."""
        rows = []
        for action, label in ACTIONS.items():
            fields = [self[_name(action, number)] for number in range(KEYS_AN_ACTION)]
            errors = [error for field in fields for error in field.errors]
            rows.append({"action": action, "words": label, "fields": fields, "errors": errors})
        return rows

    def clean(self) -> dict[str, Any]:
        super().clean()
        keys: Keys = {action: [] for action in ACTIONS}
        taken: dict[str, str] = {}
        for action in ACTIONS:
            for number in range(KEYS_AN_ACTION):
                name = _name(action, number)
                try:
                    key = read_key(self.cleaned_data.get(name, ""))
                except UnusableKey as error:
                    self.add_error(name, str(error))
                    continue
                if not key or key in keys[action]:
                    continue
                if key in taken:
                    message = _("%(key)s already stands for “%(action)s”.")
                    self.add_error(name, message % {"key": cap(key), "action": ACTIONS[taken[key]]})
                    continue
                taken[key] = action
                keys[action].append(key)
        self.cleaned_data["keys"] = keys
        return self.cleaned_data

    def save(self) -> None:
        """Store what was checked."""
        data = self.cleaned_data
        save_preferences(
            user=self.user,
            profile=data["profile"],
            keys=data["keys"],
            text=data["text"],
            theme=data["theme"],
        )


def _name(action: str, number: int) -> str:
    return f"{action}_{number + 1}"


def _key_field(action: str, number: int) -> forms.CharField:
    label = _("Key for: %(action)s") if number == 0 else _("Second key for: %(action)s")
    aria_label = label % {"action": ACTIONS[action]}
    attributes = {
        "aria-label": aria_label,
        "autocomplete": "off",
        "autocapitalize": "off",
        "spellcheck": "false",
        "data-key-field": "",
    }
    return forms.CharField(
        required=False, strip=False, max_length=12, widget=forms.TextInput(attributes)
    )
