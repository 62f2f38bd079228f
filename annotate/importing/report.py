"""What came of an imported file, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import models


class Kind(models.TextChoices):
    PROMPTS = "prompts", "Prompts"
    COMPLETIONS = "completions", "Completions"
    PAIRS = "pairs", "Preference pairs"


@dataclass(kw_only=True)
class ImportReport:
    """What came of a file. ``lines`` and ``new`` count records of its own kind."""

    kind: Kind
    lines: int = 0
    new: int = 0
    prompts_new: int = 0
    held_out: int = 0
    comparisons: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def present(self) -> int:
        """Records that the project had already, or that the file holds twice."""
        return self.lines - self.new

    def sentences(self) -> list[str]:
        """The report in words, for a terminal or a page."""
        said = [f"{counted(self.new, self.kind.value)} imported, {self.present:,} already there."]
        if self.prompts_new:
            prompts = counted(self.prompts_new, "new prompts")
            said.append(f"{prompts}, of which {self.held_out:,} held out from training.")
        if self.kind == Kind.COMPLETIONS:
            said.append(f"{counted(self.comparisons, 'comparisons')} made from them.")
        return [*said, *self.notes]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun.removesuffix('s') if number == 1 else noun}"
