"""The result of an import, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import models
from django.utils.translation import gettext_lazy, ngettext

from annotate.formatting import grouped


class FileKind(models.TextChoices):
    PROMPTS = "prompts", gettext_lazy("Prompts")
    COMPLETIONS = "completions", gettext_lazy("Completions")
    PAIRS = "pairs", gettext_lazy("Preference pairs")


@dataclass(kw_only=True)
class ImportReport:
    """The result of one file. ``lines`` and ``new`` count records of its own kind."""

    kind: FileKind
    lines: int = 0
    new: int = 0
    prompts_new: int = 0
    held_out: int = 0
    comparisons: int = 0
    kept_out: int = 0
    other_split: int = 0
    """Prompts that were there already, with another split than the file gives them."""

    skipped: int = 0
    skipped_name: str = ""
    """The file with the lines that were left out, in the project's folder of such files."""
    notes: list[str] = field(default_factory=list)

    @property
    def present(self) -> int:
        """Records that the project had already, or that the file holds twice."""
        return self.lines - self.new

    def sentences(self) -> list[str]:
        """The report in words, for a terminal or a page."""
        sentences = [_imported(self.kind, self.new) % _numbers(new=self.new, present=self.present)]
        if self.prompts_new:
            sentence = ngettext(
                "%(new)s new prompt, of which %(held_out)s held out from training.",
                "%(new)s new prompts, of which %(held_out)s held out from training.",
                self.prompts_new,
            )
            sentences.append(sentence % _numbers(new=self.prompts_new, held_out=self.held_out))
        if self.kind == FileKind.COMPLETIONS:
            sentence = ngettext(
                "%(new)s comparison made from them.",
                "%(new)s comparisons made from them.",
                self.comparisons,
            )
            sentences.append(sentence % _numbers(new=self.comparisons))
        if self.kept_out:
            sentence = ngettext(
                "%(new)s completion is kept out of comparisons by the project's screening.",
                "%(new)s completions are kept out of comparisons by the project's screening.",
                self.kept_out,
            )
            sentences.append(sentence % _numbers(new=self.kept_out))
        if self.other_split:
            sentence = ngettext(
                "%(count)s prompt was there already with the other split, and keeps it.",
                "%(count)s prompts were there already with the other split, and keep it.",
                self.other_split,
            )
            sentences.append(sentence % _numbers(count=self.other_split))
        if self.skipped:
            sentence = ngettext(
                "%(count)s line was skipped.", "%(count)s lines were skipped.", self.skipped
            )
            sentences.append(sentence % _numbers(count=self.skipped))
        return [*sentences, *self.notes]


def _imported(kind: FileKind, new: int) -> str:
    if kind == FileKind.PROMPTS:
        return ngettext(
            "%(new)s prompt imported, %(present)s already there.",
            "%(new)s prompts imported, %(present)s already there.",
            new,
        )
    if kind == FileKind.COMPLETIONS:
        return ngettext(
            "%(new)s completion imported, %(present)s already there.",
            "%(new)s completions imported, %(present)s already there.",
            new,
        )
    return ngettext(
        "%(new)s pair imported, %(present)s already there.",
        "%(new)s pairs imported, %(present)s already there.",
        new,
    )


def _numbers(**numbers: int) -> dict[str, str]:
    return {name: grouped(number) for name, number in numbers.items()}
