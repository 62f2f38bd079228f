"""Render completions anew that an older renderer made; without it they are when they are read."""

from typing import Any

from django.core.management.base import BaseCommand

from annotate.content.completions import render_anew


class Command(BaseCommand):
    help = (
        "Render completions anew that an older version of Whetstone made. Not needed: each is "
        "rendered anew when it is next shown; this does it for all, now."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        done = 0
        for done in render_anew():
            self.stdout.write(f"{done} completions rendered anew…")
        self.stdout.write(self.style.SUCCESS(f"{done} completions rendered anew; all are current."))
