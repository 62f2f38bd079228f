"""Prompts from a file."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import IO

from django.db import transaction
from django.utils.translation import ngettext

from annotate.content.prompts import NewPrompt, first_turn, store_prompts
from annotate.formatting import grouped
from annotate.importing.lines import MAX_BYTES
from annotate.importing.records import FOLLOW_UPS, prompt_from
from annotate.importing.refusal import Intake
from annotate.importing.report import FileKind, ImportReport
from annotate.importing.staging import checked_rows
from annotate.models import Project


def import_prompts(
    *,
    project: Project,
    file: IO[bytes],
    source: str = "",
    max_bytes: int = MAX_BYTES,
    intake: Intake | None = None,
) -> ImportReport:
    """Add the prompts in ``file`` that ``project`` does not have. Raises ImportRefused."""
    report = ImportReport(kind=FileKind.PROMPTS)
    shortened = 0
    intake = intake or Intake()
    staged = checked_rows(
        file,
        read=partial(prompt_from, choices=intake.choices),
        as_data=asdict,
        max_bytes=max_bytes,
        problems=intake.problems,
    )
    with staged as batches, transaction.atomic():
        for batch in batches():
            prompts = [NewPrompt(**data) for _, data in batch]
            intake.first_turns.update(hash(first_turn(prompt.messages)) for prompt in prompts)
            stored = store_prompts(project=project, prompts=prompts, source=source)
            report.lines += len(batch)
            report.new += stored.new
            report.held_out += stored.held_out
            report.other_split += stored.other_split
            shortened += sum(FOLLOW_UPS in prompt.details for prompt in prompts)
    report.prompts_new = report.new
    if shortened:
        note = ngettext(
            "%(count)s prompt had several turns: the first became the prompt, the later ones "
            "are stored in its details.",
            (
                "%(count)s prompts had several turns: the first became the prompt, the later ones "
                "are stored in its details."
            ),
            shortened,
        )
        report.notes.append(note % {"count": grouped(shortened)})
    return report
