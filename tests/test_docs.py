"""The docs match the code: generated pages are current, and what a page names exists."""

import re
from pathlib import Path

import pytest

from tests.generated_docs import DOCS, PACKAGES, ROOT, UNSAID, first_line, pages

README = ROOT / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
TOPS = r"(?:annotate|benchmarks|config|docs|experiments|locale|static|templates|tests|training)"
PATH = re.compile(rf"(?<![\w/.-])({TOPS}/[\w./-]*\w|{TOPS}/)(?![\w*{{])")
MODULE = re.compile(r"(?<![\w./-])((?:annotate|benchmarks|config|training)(?:\.[a-z_0-9]+)+)\b")
MOST_LOOSE = 12


def test_generated_pages_are_current():
    for page, text in pages().items():
        assert page.read_text(encoding="utf-8") == text, "run python -m tests.generated_docs"


def test_every_module_says_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in Path(ROOT, package).rglob("*.py")
        if path.name not in UNSAID and "migrations" not in path.parts and not first_line(path)
    ]
    assert silent == []


def test_the_two_commands_are_shown():
    text = README.read_text(encoding="utf-8")
    assert "make up" in text
    assert "make test" in text
    assert len(text.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    absent = [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    absent += [link for link in links if not (page.parent / link).exists()]
    for name in MODULE.findall(text):
        parts = name.split(".")
        if not any(is_module(parts[:length]) for length in (len(parts), len(parts) - 1)):
            absent.append(name)
    assert absent == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_named_without_its_folder_is_there(page):
    folders = [ROOT / top for top in (*PACKAGES, "tests", "whetstone")]
    existing = {str(path.relative_to(ROOT)) for folder in folders for path in folder.rglob("*.py")}
    existing |= {path.name for path in ROOT.glob("*.py")}
    named = re.findall(r"`([\w/]+\.py)`", page.read_text(encoding="utf-8"))
    absent = [
        name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in existing)
    ]
    assert absent == []


def is_module(parts: list[str]) -> bool:
    path = ROOT.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").exists()


def test_no_folder_is_crowded():
    """Folders stay easy to survey: at most a dozen modules directly in one."""
    crowded = {
        str(folder.relative_to(ROOT)): count
        for package in (*PACKAGES, "tests")
        for folder in [ROOT / package, *(ROOT / package).rglob("*/")]
        if folder.name != "migrations"
        and (count := sum(path.name != "__init__.py" for path in folder.glob("*.py"))) > MOST_LOOSE
    }
    assert crowded == {}
