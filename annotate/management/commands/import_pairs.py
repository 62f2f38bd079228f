"""``manage.py import_pairs --project SLUG FILE``"""

from annotate.importing import FileKind
from annotate.management.import_command import ImportCommand


class Command(ImportCommand):
    help = "Import pairs from a file; nothing is imported where a line is bad."
    kind = FileKind.PAIRS
