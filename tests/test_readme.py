from pathlib import Path

from tests.readme_map import PACKAGES, README, ROOT, UNSAID, first_line, mapped_readme


def test_the_file_map_is_current():
    assert README.read_text(encoding="utf-8") == mapped_readme(), "run python -m tests.readme_map"


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
