"""Form fields that several forms share."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

MOST_NAMES = 12
LONGEST_NAME = 60


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"required": False, **settings})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(self.as_line, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = map(self.from_line, str(super().to_python(value) or "").splitlines())
        return [line for line in lines if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))

    def as_line(self, text: str) -> str:
        """A text as it is shown."""
        return text

    def from_line(self, line: str) -> str:
        """The text that a line stands for."""
        return line


class NamesField(LinesField):
    """A few different names, one a line."""

    widget = forms.Textarea(attrs={"rows": 4, "class": "lines"})

    def from_line(self, line: str) -> str:
        return " ".join(line.split())

    def validate(self, value: Any) -> None:
        super().validate(value)
        if len(value) > MOST_NAMES:
            raise forms.ValidationError(
                _("At most %(most)s lines; these are %(count)s."),
                params={"most": MOST_NAMES, "count": len(value)},
            )
        for line in value:
            if len(line) > LONGEST_NAME:
                raise forms.ValidationError(
                    _("“%(line)s…” is longer than %(most)s characters."),
                    params={"line": line[:30], "most": LONGEST_NAME},
                )
        folded = [line.casefold() for line in value]
        if twice := next((line for line in value if folded.count(line.casefold()) > 1), None):
            raise forms.ValidationError(_("“%(line)s” is listed twice."), params={"line": twice})


class EscapedLinesField(LinesField):
    r"""Texts, one a line; ``\n`` in a line stands for a line break."""

    widget = forms.Textarea(attrs={"rows": "3", "spellcheck": "false", "autocapitalize": "none"})

    def __init__(self, **settings: Any) -> None:
        super().__init__(strip=False, max_length=1000, **settings)

    def as_line(self, text: str) -> str:
        return text.replace("\n", "\\n")

    def from_line(self, line: str) -> str:
        return line.replace("\\n", "\n")
