"""Why a file is refused: its bad lines, each with number, field and reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from annotate.formatting import grouped

LINES_NAMED = 50

FEWEST_SHARED, SHARED = 20, 0.05
"""This many records, and this share of the file, with one first turn: worth a word."""


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


@dataclass(frozen=True)
class RowChoices:
    """What a manager has decided about rows that are not taken as a matter of course.

    ``skip_bad``: leave them out and list them, instead of refusing the file. ``take_empty``:
    answers without any text. ``take_rendered``: prompts with the marks of a chat template in them.
    """

    skip_bad: bool = False
    take_empty: bool = False
    take_rendered: bool = False


class Problems:
    """Collects bad lines while a file is read; keeps the first ones and counts the rest.

    With ``skipped``, a file to write to, a bad line is left out: it is written there as it was,
    with its number and what is wrong. What concerns the file as a whole refuses it all the same.
    """

    def __init__(self, skipped: IO[str] | None = None) -> None:
        self.lines: list[BadLine] = []
        self.total = 0
        self.skipped = 0
        self._skipped_file = skipped
        self._line = (0, b"")

    def at(self, number: int, line: bytes) -> None:
        """Remember the line that is being read, to write it down where it is skipped."""
        self._line = (number, line)

    def add(self, number: int, field: str, reason: str) -> None:
        """Something is wrong with line ``number``."""
        if self._skipped_file is None:
            self.refuse_file(reason, number=number, field=field)
            return
        self.skipped += 1
        remembered, line = self._line
        text = line.decode(errors="backslashreplace").rstrip("\r\n") if remembered == number else ""
        row = {"line": number, "field": field, "reason": reason, "record": text}
        self._skipped_file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def refuse_file(self, reason: str, *, number: int = 0, field: str = "") -> None:
        """Something is wrong for which the file is refused whatever was chosen."""
        self.total += 1
        if len(self.lines) < LINES_NAMED:
            self.lines.append(BadLine(number, field, reason))

    def refuse_if_any(self) -> None:
        """Raises ImportRefused where something refuses the file."""
        if self.total:
            raise ImportRefused(self.lines, self.total)


@dataclass
class Intake:
    """How one file is read: what was chosen, and what is found wrong."""

    choices: RowChoices = RowChoices()
    problems: Problems = field(default_factory=Problems)
    ignored: Counter[str] = field(default_factory=Counter)
    """Keys that are not taken over, with the number of records that have them."""

    first_turns: Counter[int] = field(default_factory=Counter)
    """How many records begin with the same words of the user, by their hash."""

    @property
    def shared_first_turn(self) -> int:
        """How many records share the commonest first turn; 0 where that is no large share."""
        most = max(self.first_turns.values(), default=0)
        return most if most >= max(FEWEST_SHARED, SHARED * self.first_turns.total()) else 0

    def note_ignored(self, record: Mapping[str, Any], known: Collection[str]) -> None:
        """Remember which of the record's keys say something and are not ``known``."""
        if "instruction" in record:
            known = {*known, "input"}
        empty: tuple[object, ...] = (None, "", [], {})
        self.ignored.update(
            name for name, value in record.items() if name not in known and value not in empty
        )
