"""Templates can be read without scrolling sideways."""

from pathlib import Path

from django.conf import settings

LONGEST = 120
FOLDER = Path(settings.BASE_DIR, "templates")


def test_no_line_of_a_template_is_too_long():
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    assert len(paths) > 100
    too_long = [
        f"{path.relative_to(FOLDER.parent)}:{number}: {len(line)} columns"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST
    ]
    assert not too_long, "\n".join([f"more than {LONGEST} columns:", *too_long])
