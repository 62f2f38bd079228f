"""Prompts, completions and pairs come in from files: all of a file, or nothing of it."""

from annotate.importing.completions import import_completions
from annotate.importing.pairs import import_pairs
from annotate.importing.prompts import import_prompts
from annotate.importing.refusal import BadLine, ImportRefused, RowChoices
from annotate.importing.report import FileKind, ImportReport
from annotate.importing.services import import_file

__all__ = [
    "BadLine",
    "FileKind",
    "ImportRefused",
    "ImportReport",
    "RowChoices",
    "import_completions",
    "import_file",
    "import_pairs",
    "import_prompts",
]
