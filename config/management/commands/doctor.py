"""``manage.py doctor``: look for what is wrong with an installation."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from config.launch.doctor import Level, look_around

MARKS = {Level.GOOD: "ok     ", Level.WARNING: "warning", Level.ERROR: "ERROR  "}


class Command(BaseCommand):
    help = "Look for what is wrong with this installation. Exit status 1 if something is."
    requires_system_checks = []

    def handle(self, **_options: Any) -> None:
        style = {
            Level.GOOD: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.ERROR: self.style.ERROR,
        }
        worst = Level.GOOD
        for finding in look_around():
            mark = style[finding.level](MARKS[finding.level])
            self.stdout.write(f"{mark}  {finding.about}: {finding.what}")
            if finding.level is Level.ERROR:
                worst = Level.ERROR
        if worst is Level.ERROR:
            sys.exit(1)
