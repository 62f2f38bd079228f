"""Pages of the docs that follow from the code: ``python -m tests.generated_docs`` writes them."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from pathlib import Path

import django
from django.utils.translation import override

from config.environment import as_markdown

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = ("config", "annotate", "training", "benchmarks")
UNSAID = {"__init__.py", "apps.py", "wsgi.py"}

SETTINGS = """# Settings

All come from the environment. A list is written with commas. This page is made from
`config/environment.py` by `python -m tests.generated_docs`.

{tables}
For the tests and CI alone: `CHROMIUM` names a browser, `WHETSTONE_CI=1` makes a skip without a
known reason fail, `PYTEST_ARGS` narrows `make test`, `WORKERS` is the number of its processes,
`PYTHON` says which Python makes the environment.
"""
ROUND_SETTINGS = """# Round settings

What a round's training can be told: the field of the form, its place in `job.json`, the engine's
default, the values that it takes. This page is made from `training/rounds/setup/settings.py` and
`training/engine/config.py` by `python -m tests.generated_docs`.

{table}"""
MODULES = """# Modules

Every file of code with the first line of what it says of itself, by folder. This page is made from
the code by `python -m tests.generated_docs`.

{tables}"""


def first_line(path: Path) -> str:
    """The first line of a module's docstring, or of a command's help text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def modules() -> str:
    """One table for each folder."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name not in UNSAID and "migrations" not in path.parts:
                folders[path.parent].append(path)
    tables = [
        f"## {folder.relative_to(ROOT)}\n\n| file | what it is for |\n|---|---|\n"
        + "".join(f"| `{path.relative_to(ROOT)}` | {first_line(path)} |\n" for path in paths)
        for folder, paths in sorted(folders.items())
    ]
    return MODULES.format(tables="\n".join(tables))


def round_settings() -> str:
    """One row for each setting of a round."""
    from training.rounds.setup.settings import SETTINGS, PlainNumber

    rows = []
    with override("en-gb"):
        for setting in SETTINGS:
            shown = PlainNumber().format_value(setting.default)
            values = str(setting.bounds)
            if setting.is_percent:
                values = f"{values}, as a part of 1" if values else ""
            if setting.choices:
                values = ", ".join(f"`{name}`" for name, _words in setting.choices)
            rows.append(
                f"| {setting.label} | `{setting.place}` | {shown} | {values} | {setting.help} |\n"
            )
    head = "| setting | in `job.json` | default | values | what for |\n|---|---|---|---|---|\n"
    return ROUND_SETTINGS.format(table=head + "".join(rows))


def pages() -> dict[Path, str]:
    """The text of each generated page, by its path."""
    return {
        DOCS / "settings.md": SETTINGS.format(tables=as_markdown()),
        DOCS / "modules.md": modules(),
        DOCS / "round-settings.md": round_settings(),
    }


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    os.environ.setdefault("WHETSTONE_HOME", str(ROOT / ".venv" / "scratch"))
    django.setup()
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
