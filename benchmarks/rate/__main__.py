"""``python -m benchmarks.rate``: the server's time from a verdict to the next card, over HTTP.

Real gunicorn as ``up`` starts it, real sessions and CSRF, raters who never pause (1, 16, 64), with
1,000 and with 1,000,000 comparisons, on SQLite and on PostgreSQL, all on this machine. With
``--label-studio`` the same machine then runs Label Studio, doing submit and next; it is installed
from PyPI into a folder of its own that git ignores. The last line printed is one JSON object;
times are of the large database, ``growth_1m`` is its median alone over the small one's.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.rate.server import ROOT, at, free_port, running
from tests.postgres import postgres_url

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    summary: Figures = {}
    for database in options.databases:
        ending = "" if database == "sqlite" else "_pg"
        figures = _measure(database, options)
        summary |= {f"{key}{ending}": value for key, value in figures.items()}
    if options.label_studio:
        from benchmarks.rate.label_studio import measure

        summary |= measure(options)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(json.dumps(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.rate", description=__doc__)
    parser.add_argument("--small", type=int, default=1_000, help="comparisons")
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgres"])
    parser.add_argument("--raters", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--turns", type=int, default=5, help="of the lone rater")
    parser.add_argument("--votes", type=int, default=280, help="a run; all runs share the queue")
    parser.add_argument("--votes-large", type=int, default=2_000, help="a run, large database")
    parser.add_argument("--label-studio", action="store_true", help="measure it as well")
    parser.add_argument("--label-studio-votes", type=int, default=60)
    parser.add_argument("--label-studio-home", type=Path, default=ROOT / "var" / "label-studio")
    return parser.parse_args()


def _measure(database: str, options: argparse.Namespace) -> Figures:
    """The small and the large database side by side, both filled and served before the clock runs.

    Alone, one rater visits them in turn, a part of the votes each time: the machine's own changes
    of speed meet both.
    """
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(_site(database, options.small, options))
        large = stack.enter_context(_site(database, options.large, options))
        sites = [(small, options.votes), (large, options.votes_large)]
        alone: list[list[float]] = [[], []]
        errors = 0
        for _ in range(options.turns):
            for seconds, (site, votes) in zip(alone, sites, strict=True):
                run = site.run(1, votes // options.turns)
                seconds += run["seconds"]
                errors += run["errors"]
        crowds: list[dict[int, Figures]] = [
            {raters: site.run(raters, votes) for raters in options.raters} for site, votes in sites
        ]
        errors += sum(run["errors"] for crowd in crowds for run in crowd.values())
        medians = [at(sorted(seconds), 0.5) for seconds in alone]
        figures = {
            "p50_ms_1": medians[1],
            "p95_ms_1": at(sorted(alone[1]), 0.95),
            **{f"votes_per_s_{raters}": run["votes_per_s"] for raters, run in crowds[1].items()},
            **{f"p95_ms_{raters}": run["p95_ms"] for raters, run in crowds[1].items()},
            "growth_1m": round(medians[1] / medians[0], 2),
            "errors": errors,
            "duplicates": small.duplicates() + large.duplicates(),
        }
        print(f"{database}: {figures}", flush=True)
        return figures


@dataclasses.dataclass(frozen=True)
class _Site:
    """A filled database with a web server on it."""

    told: str
    port: int
    env: dict[str, str]
    given: dict[str, Any]

    def run(self, raters: int, votes: int) -> Figures:
        """That many raters at work until that many votes are in."""
        asked = {**self.given, "port": self.port, "raters": raters, "votes": votes}
        run: Figures = json.loads(
            _python(self.env, "benchmarks.rate.load", standard_input=json.dumps(asked))
        )
        ordered = sorted(run["seconds"])
        run["p50_ms"], run["p95_ms"] = (at(ordered, share) for share in (0.5, 0.95))
        run["votes_per_s"] = round(run["votes_per_s"], 1)
        shown = {name: value for name, value in run.items() if name != "seconds"}
        print(f"{self.told}, {raters} raters: {shown}", flush=True)
        return run

    def duplicates(self) -> int:
        """Judgements beyond what a comparison wanted, in the database."""
        return int(_python(self.env, "benchmarks.rate.data", "duplicates"))


@contextlib.contextmanager
def _site(database: str, comparisons: int, options: argparse.Namespace) -> Iterator[_Site]:
    with contextlib.ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="bench-rate-", dir="/tmp"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        port = free_port()
        env = {
            **os.environ,
            "WHETSTONE_HOME": str(home),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "LOG_LEVEL": "WARNING",
            "PORT": str(port),
        }
        env.pop("DATABASE_URL", None)
        if database == "postgres":
            env["DATABASE_URL"] = stack.enter_context(postgres_url())
        began = time.monotonic()
        _manage(env, "migrate", "--verbosity", "0")
        _manage(env, "collectstatic", "--noinput", "--verbosity", "0")
        filled = json.loads(
            _python(env, "benchmarks.rate.data", "fill", str(comparisons), str(max(options.raters)))
        )
        title = f"{database}, {comparisons:,} comparisons"
        print(f"{title}: filled in {time.monotonic() - began:.0f} s", flush=True)
        stack.enter_context(_server(env, port, home))
        yield _Site(title, port, env, filled)


@contextlib.contextmanager
def _server(env: dict[str, str], port: int, home: Path) -> Iterator[None]:
    """The web server as ``up`` starts it; its words go into a file."""
    command = json.loads(
        subprocess.run(
            [sys.executable, "-c", COMMAND], cwd=ROOT, env=env, check=True, capture_output=True
        ).stdout
    )
    with running(command, env=env, log=home / "web.log", port=port, path="/health/"):
        yield


COMMAND = (
    "import json; from config.launch.processes import web_command; print(json.dumps(web_command()))"
)


def _manage(env: dict[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "manage.py", *arguments], cwd=ROOT, env=env, check=True)


def _python(env: dict[str, str], module: str, *arguments: str, standard_input: str = "") -> str:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        check=True,
        input=standard_input,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


if __name__ == "__main__":
    main()
