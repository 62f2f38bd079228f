"""The lines that an import left out, kept in the data folder for its manager to mend."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import IO

from django.conf import settings
from django.utils import timezone

from annotate.importing.report import FileKind
from annotate.models import Project

_NAME = re.compile(r"[a-z]+-\d{8}-\d{6}-\d+\.jsonl")


def folder_of(project: Project) -> Path:
    """Where the skipped lines of a project's imports are."""
    return Path(settings.HOME) / "skipped" / str(project.pk)


def keep_skipped(project: Project, kind: FileKind, lines: IO[str]) -> str:
    """Keep what was written to ``lines``; returns the file's name."""
    folder = folder_of(project)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{kind.value}-{timezone.now():%Y%m%d-%H%M%S-%f}.jsonl"
    lines.seek(0)
    with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
        shutil.copyfileobj(lines, file)
    return name


def skipped_file(project: Project, name: str) -> Path | None:
    """The file of that name; None where there is none."""
    if not _NAME.fullmatch(name):
        return None
    path = folder_of(project) / name
    return path if path.is_file() else None
