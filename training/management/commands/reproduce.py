"""``manage.py reproduce PROJECT/NUMBER``: run a round again and compare, bit by bit."""

from __future__ import annotations

import shutil
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from training.jobs.engine_process import EngineProgress
from training.models import Round
from training.rounds.reproduce import ReproduceError, lines, run_again, warnings_before


class Command(BaseCommand):
    help = (
        "Run a round again in a fresh folder, from its row alone, and compare: on a CPU the "
        "adapter and every measured number are equal, bit for bit. The exit status is 1 if not."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "round",
            help="the project's short name and the round's number, such as demo/3; or its id",
        )
        parser.add_argument(
            "--out", type=Path, help="the folder to run in, which is kept; else it is removed"
        )

    def handle(self, **options: Any) -> None:
        round_ = self._round(options["round"])
        for warning in warnings_before(round_):
            self.stdout.write(f"Note: {warning}")
        settings.RUNS_DIR.mkdir(parents=True, exist_ok=True)
        folder = options["out"] or Path(tempfile.mkdtemp(prefix="again-", dir=settings.RUNS_DIR))
        last_phase = ""

        def tell(progress: EngineProgress) -> None:
            nonlocal last_phase
            if progress.phase != last_phase and options["verbosity"] > 0:
                last_phase = progress.phase
                self.stdout.write(f"  {last_phase}")

        try:
            comparison = run_again(round_=round_, run_dir=folder.resolve(), tell=tell)
        except ReproduceError as error:
            raise CommandError(str(error)) from error
        finally:
            if options["out"] is None:
                shutil.rmtree(folder, ignore_errors=True)
        for line in lines(comparison):
            self.stdout.write(line)
        if not comparison.is_equal:
            raise CommandError(f"{round_} of {round_.project} was not reproduced exactly.")
        self.stdout.write(f"{round_} of {round_.project} was reproduced.".capitalize())

    def _round(self, name: str) -> Round:
        slug, slash, number = name.rpartition("/")
        rounds = Round.objects.select_related("project", "policy", "snapshot")
        if not number.isdigit():
            raise CommandError(f"{name!r} is no round: name it as PROJECT/NUMBER, such as demo/3.")
        wanted = {"project__slug": slug, "number": number} if slash else {"pk": number}
        round_ = rounds.filter(**wanted).first()
        if round_ is None:
            raise CommandError(f"There is no round {name}.")
        return round_
