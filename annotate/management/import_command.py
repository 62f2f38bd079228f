"""What the import commands share."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.importing import FileKind, ImportRefused, RowChoices, import_file
from annotate.importing.skipped import skipped_file
from annotate.models import Project


def project_named(slug: str) -> Project:
    """The project of that slug. Raises CommandError that lists the existing ones."""
    project = Project.objects.filter(slug=slug).first()
    if project is None:
        known = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True))
        raise CommandError(f"There is no project {slug!r}. Projects: {known or 'none yet'}.")
    return project


class ImportCommand(BaseCommand):
    """Imports a file of one kind into a project; exit status 1 where a line is bad."""

    kind: FileKind

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, metavar="SLUG")
        parser.add_argument(
            "file", type=Path, metavar="FILE", help="JSON Lines or a JSON array, plain or gzipped"
        )
        parser.add_argument(
            "--skip-bad", action="store_true", help="leave bad rows out and list them in a file"
        )
        parser.add_argument(
            "--take-empty", action="store_true", help="take answers without any text"
        )
        parser.add_argument(
            "--take-rendered",
            action="store_true",
            help="take prompts with the marks of a chat template in them",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        project = project_named(options["project"])
        path: Path = options["file"]
        try:
            with path.open("rb") as file:
                report = import_file(
                    project=project,
                    kind=self.kind,
                    file=file,
                    source=path.name,
                    policy_slug=options.get("policy"),
                    choices=RowChoices(
                        skip_bad=options["skip_bad"],
                        take_empty=options["take_empty"],
                        take_rendered=options["take_rendered"],
                    ),
                )
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
        except ImportRefused as refused:
            raise CommandError(str(refused)) from refused
        for sentence in report.sentences():
            self.stdout.write(sentence)
        if path_of_skipped := skipped_file(project, report.skipped_name):
            self.stdout.write(f"The skipped lines are in {path_of_skipped}.")
