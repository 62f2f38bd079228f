"""The README's file map, from the first lines of modules: ``python -m tests.readme_map``."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PACKAGES = ("config", "annotate", "training", "benchmarks")
BEGIN, END = "<!-- map:begin -->\n", "<!-- map:end -->"
UNSAID = {"__init__.py", "apps.py", "wsgi.py"}


def first_line(path: Path) -> str:
    """The first line of a module's docstring, or of a command's help text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def file_map() -> str:
    """One table a package: each of its files with what it says of itself."""
    parts = []
    for package in PACKAGES:
        rows = [
            f"| `{path.relative_to(ROOT)}` | {first_line(path)} |"
            for path in sorted((ROOT / package).rglob("*.py"))
            if path.name not in UNSAID and "migrations" not in path.parts
        ]
        if rows:
            parts.append(
                f"### {package}\n\n| file | what it is for |\n|---|---|\n" + "\n".join(rows)
            )
    return "\n\n".join(parts) + "\n"


def mapped_readme() -> str:
    """The README as it is to be."""
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: BEGIN + file_map() + END, text)


if __name__ == "__main__":
    README.write_text(mapped_readme(), encoding="utf-8")
