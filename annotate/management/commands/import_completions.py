"""``manage.py import_completions --project SLUG [--policy SLUG] FILE``"""

from argparse import ArgumentParser, ArgumentTypeError

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from annotate.importing import FileKind
from annotate.management.import_command import ImportCommand


def _slug(text: str) -> str:
    try:
        validate_slug(text)
    except ValidationError as error:
        raise ArgumentTypeError("letters, digits, - and _ alone") from error
    if len(text) > 80:
        raise ArgumentTypeError("at most 80 characters")
    return text


class Command(ImportCommand):
    help = "Import models' answers from a file; each model is a policy and meets the others."
    kind = FileKind.COMPLETIONS

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--policy", metavar="SLUG", type=_slug, help="the policy, for a file of one model"
        )
