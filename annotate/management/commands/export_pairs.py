"""``manage.py export_pairs --project SLUG --out FILE``"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.content.export import pair_lines, pairs_of
from annotate.management.import_command import project_named


class Command(BaseCommand):
    help = "Write a project's preference pairs as JSON Lines, ready for TRL."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument("--out", required=True, metavar="FILE", help="- for standard output")

    def handle(self, *_args: Any, **options: Any) -> None:
        lines = pair_lines(pairs_of(project_named(options["project"])))
        if options["out"] == "-":
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
            return
        path = Path(options["out"])
        try:
            count = _write_whole(path, lines)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{count:,} pairs in {path}.")


def _write_whole(path: Path, lines: Iterable[bytes]) -> int:
    """Write ``lines`` to ``path`` by rename, so that there is the whole file or the old one."""
    count = 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            for line in lines:
                file.write(line)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count
