"""Render again what an older renderer made; without this, each is rendered when it is read."""

from typing import Any

from django.core.management.base import BaseCommand

from annotate.content.completions import render_anew


class Command(BaseCommand):
    help = (
        "Render again the completions that an older version of Whetstone rendered. Optional: each "
        "is rendered again when it is next shown anyway; this does all of them now."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        del args, options
        done = 0
        for done in render_anew():
            self.stdout.write(f"{done} completions rendered…")
        self.stdout.write(self.style.SUCCESS(f"{done} completions rendered; all are current."))
