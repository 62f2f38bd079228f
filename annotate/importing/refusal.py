"""Why a file is refused: its bad lines, each with number, field and reason."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped

LINES_NAMED = 50


class FieldError(ValueError):
    """What is wrong with one record: ``field`` says where in it, ``reason`` says why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True)
class BadLine:
    """One bad line. Number 0 stands for the file as a whole."""

    number: int
    field: str
    reason: str

    def __str__(self) -> str:
        place = _("line %(number)s") % {"number": self.number} if self.number else _("the file")
        return ": ".join(part for part in (place, self.field, self.reason) if part)


class ImportRefused(Exception):
    """Nothing was imported. ``lines`` are the first bad ones, ``total`` counts all."""

    def __init__(self, lines: list[BadLine], total: int) -> None:
        self.lines = lines
        self.total = total
        super().__init__(f"{self.summary}\n" + "\n".join(map(str, lines)))

    @property
    def summary(self) -> str:
        count = {"count": grouped(self.total), "shown": len(self.lines)}
        if self.total > len(self.lines):
            sentence = _(
                "Nothing was imported: %(count)s bad lines, the first %(shown)s of them here."
            )
            return sentence % count
        sentence = ngettext(
            "Nothing was imported: %(count)s bad line.",
            "Nothing was imported: %(count)s bad lines.",
            self.total,
        )
        return sentence % count


class Problems:
    """Collects bad lines while a file is read; keeps the first ones and counts the rest."""

    def __init__(self) -> None:
        self.lines: list[BadLine] = []
        self.total = 0

    def add(self, number: int, field: str, reason: str) -> None:
        self.total += 1
        if len(self.lines) < LINES_NAMED:
            self.lines.append(BadLine(number, field, reason))

    def refuse_if_any(self) -> None:
        """Raises ImportRefused where something was added."""
        if self.total:
            raise ImportRefused(self.lines, self.total)
