"""``manage.py dry_run --project SLUG``: whether a round would start by itself now, and why."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from annotate.models import Project
from training.schedule import auto_start
from training.schedule.wording import moment_words, outlook_words

STATES = {"met": "+", "not met": "-", "not required": " "}


class Command(BaseCommand):
    help = "Say whether a round would start by itself now, and why. Changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--project", required=True, help="the project's short name")

    def handle(self, *, project: str, **_options: Any) -> None:
        named = Project.objects.filter(slug=project).first()
        if named is None:
            raise CommandError(_("There is no project %(name)s.") % {"name": project})
        seen = auto_start.dry_run(named)
        self.stdout.write(outlook_words(seen))
        self.stdout.write("")
        for condition in seen.verdict.conditions:
            line = f"{STATES[condition.state]} {condition.name}: {condition.words}"
            self.stdout.write(textwrap.fill(line, 96, subsequent_indent="  "))
        if seen.next_window is not None:
            message = _("Next scheduled time: %(moment)s.")
            self.stdout.write("")
            self.stdout.write(message % {"moment": moment_words(seen.next_window, seen.zone)})
