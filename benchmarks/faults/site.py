"""A data folder with a tiny model and projects whose rounds all compute the same, and the stack."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.faults import Site
from benchmarks.faults.watching import Watch

ROOT = Path(__file__).resolve().parents[2]
RUNS_BYTES = 48 * 1024 * 1024
SEED = 7
CONFIG: dict[str, Any] = {
    "lora": {"r": 4, "alpha": 8, "dropout": 0.1},
    "optimisation": {
        "learning_rate": 5e-3,
        "epochs": 10,
        "batch_size": 4,
        "max_length": 64,
        "checkpoint_fraction": 0.1,
        "token_budget": 256,
    },
}


def environment(home: Path) -> dict[str, str]:
    """For this process and the stack: the product's own settings on ``home``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "WHETSTONE_HOME": str(home),
        "WHETSTONE_STORAGE": str(home),
        "PORT": str(port),
        "SEED_DEMO": "false",
        "WEB_WORKERS": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "WHETSTONE_THREADS": "1",
        "LOG_LEVEL": "INFO",
    }


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own for run directories, where this account may mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={RUNS_BYTES}", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None
        and subprocess.run(["mount", *options], capture_output=True).returncode == 0
    )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(home: Path, count: int) -> list[Any]:
    """Tables, the tiny model, and ``count`` projects with the same pairs."""
    from django.core.management import call_command

    from annotate.models import Project
    from tests.training.engine.conftest import WORDS, make_model, make_tokenizer
    from training.models import LoopSettings

    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    base = home / "base"
    base.mkdir()
    make_model(base, len(make_tokenizer(base)))
    chance = random.Random(SEED)

    def text(low: int, high: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(low, high)))

    pairs = home / "pairs.jsonl"
    with pairs.open("w", encoding="utf-8") as file:
        for number in range(64):
            row = {
                "prompt": f"{number} {text(2, 12)}",
                "chosen": f"{text(1, 8)} yes",
                "rejected": f"{text(1, 14)} no",
            }
            file.write(json.dumps(row) + "\n")
    projects = []
    for number in range(count):
        # Paused: nothing but the rounds asked for runs here.
        project = Project.objects.create(
            slug=f"faults-{number + 1}", name="Faults", held_out_percent=0, is_paused=True
        )
        LoopSettings.objects.create(
            project=project, base_model=str(base), start_from="base", queue_level=1
        )
        call_command("import_pairs", str(pairs), project=project.slug, verbosity=0)
        projects.append(project)
    return projects


def start_round(project: Any, *, not_a_number: bool = False) -> Any:
    """Queue a round that computes the same as every other, whatever its number."""
    from django.db import transaction

    from training.models import Round
    from training.rounds import lifecycle
    from training.rounds.recipes import Recipe

    config = dict(CONFIG)
    if not_a_number:
        config["optimisation"] = {**CONFIG["optimisation"], "learning_rate": 1e30}
    with transaction.atomic():
        made = lifecycle.start_round(project=project, recipe=Recipe(start="base", settings=config))
        Round.objects.filter(pk=made.pk).update(seed=SEED, config={**made.config, "seed": SEED})
    made.refresh_from_db()
    return made


@contextlib.contextmanager
def running_stack(home: Path) -> Iterator[Site]:
    """The stack on ``home``, watched; all of it is gone afterwards."""
    log = (home / "stack.log").open("ab")
    stack = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.faults.stack"],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    watch = Watch(home)
    watch.start()
    url = f"http://127.0.0.1:{os.environ['PORT']}"
    site = Site(stack=stack.pid, home=home, watch=watch, url=url, full=home / "runs")
    try:
        wait(site.is_served, "the web server", 180)
        from config.celery import app

        wait(lambda: len(app.control.ping(timeout=2) or ()) >= 3, "the workers", 180)
        yield site
    finally:
        watch.stop()
        stack.send_signal(signal.SIGTERM)
        try:
            stack.wait(90)
        except subprocess.TimeoutExpired:
            stack.kill()
            stack.wait()
        log.close()


def wait(condition: Callable[[], Any], awaited: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {awaited}")
        time.sleep(0.2)
