"""What a command or a page calls to import a file."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import IO, Any

from django.utils.translation import gettext as _

from annotate.content.prompts import LINES_COUNT
from annotate.formatting import grouped
from annotate.importing.completions import import_completions
from annotate.importing.lines import MAX_BYTES
from annotate.importing.pairs import import_pairs
from annotate.importing.prompts import import_prompts
from annotate.importing.refusal import Intake, Problems, RowChoices
from annotate.importing.report import FileKind, ImportReport
from annotate.importing.skipped import keep_skipped
from annotate.models import Project
from annotate.pairing.comparisons import make_comparisons


def import_file(
    *,
    project: Project,
    kind: FileKind,
    file: IO[bytes],
    source: str = "",
    policy_slug: str | None = None,
    max_bytes: int = MAX_BYTES,
    choices: RowChoices | None = None,
) -> ImportReport:
    """Import ``file`` as ``kind`` and make comparisons of new completions.

    Raises ImportRefused, with nothing imported, where a line is bad and ``choices`` do not skip it.
    """
    with TemporaryFile("w+", encoding="utf-8", newline="\n") as skipped:
        choices = choices or RowChoices()
        intake = Intake(choices, Problems(skipped if choices.skip_bad else None))
        common: dict[str, Any] = {
            "project": project,
            "file": file,
            "source": source,
            "max_bytes": max_bytes,
            "intake": intake,
        }
        if kind == FileKind.PROMPTS:
            report = import_prompts(**common)
        elif kind == FileKind.PAIRS:
            report = import_pairs(**common)
        else:
            report = import_completions(**common, policy_slug=policy_slug)
            report.comparisons = make_comparisons(project=project)
        if intake.ignored:
            names = ", ".join(
                f"{name[:50]} ({grouped(n)})" for name, n in intake.ignored.most_common(20)
            )
            note = _("Not taken over, with the number of lines that have it: %(names)s.")
            report.notes.append(note % {"names": names})
        shared = intake.shared_first_turn
        if shared and project.prompt_rule == LINES_COUNT:
            note = _(
                "%(count)s of the lines begin with the same words of the user: these prompts are "
                "either all held out or all trained on."
            )
            report.notes.append(note % {"count": grouped(shared)})
        report.skipped = intake.problems.skipped
        if report.skipped:
            report.skipped_name = keep_skipped(project, kind, skipped)
    return report
