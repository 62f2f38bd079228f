"""``manage.py doctor``: look for what is wrong with an installation."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from config.launch.doctor import Severity, look_around

MARKS = {Severity.GOOD: "ok     ", Severity.WARNING: "warning", Severity.ERROR: "ERROR  "}


class Command(BaseCommand):
    help = "Look for what is wrong with this installation. Exit status 1 if something is."
    requires_system_checks = []

    def handle(self, **_options: Any) -> None:
        style = {
            Severity.GOOD: self.style.SUCCESS,
            Severity.WARNING: self.style.WARNING,
            Severity.ERROR: self.style.ERROR,
        }
        worst = Severity.GOOD
        for finding in look_around():
            mark = style[finding.level](MARKS[finding.level])
            self.stdout.write(f"{mark}  {finding.about}: {finding.message}")
            if finding.level is Severity.ERROR:
                worst = Severity.ERROR
        if worst is Severity.ERROR:
            sys.exit(1)
