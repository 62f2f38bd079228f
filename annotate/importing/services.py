"""What a command or a page calls to import a file."""

from __future__ import annotations

from typing import IO

from annotate.importing.completions import import_completions
from annotate.importing.lines import MAX_BYTES
from annotate.importing.pairs import import_pairs
from annotate.importing.prompts import import_prompts
from annotate.importing.report import FileKind, ImportReport
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
) -> ImportReport:
    """Import ``file`` as ``kind`` and make comparisons of new completions.

    Raises ImportRefused, with nothing imported, where a line is bad.
    """
    if kind == FileKind.PROMPTS:
        return import_prompts(project=project, file=file, source=source, max_bytes=max_bytes)
    if kind == FileKind.PAIRS:
        return import_pairs(project=project, file=file, source=source, max_bytes=max_bytes)
    report = import_completions(
        project=project, file=file, source=source, policy_slug=policy_slug, max_bytes=max_bytes
    )
    report.comparisons = make_comparisons(project=project)
    return report
