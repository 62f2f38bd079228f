"""Static files as they are served: a JavaScript module finds the others by their hashed names."""

import re
from pathlib import Path

import pytest
from django.contrib.staticfiles.management.commands.collectstatic import Command

from config.static_files import StaticFiles


@pytest.fixture
def collected(tmp_path, monkeypatch):
    """All static files collected in a folder of their own."""
    storage = StaticFiles(location=str(tmp_path))
    command = Command()
    command.set_options(
        interactive=False,
        verbosity=0,
        link=False,
        clear=False,
        dry_run=False,
        ignore_patterns=["admin"],
        use_default_ignore_patterns=True,
        post_process=True,
    )
    command.storage = storage
    command.collect()
    return tmp_path, storage


def test_imports_between_modules_carry_the_hashed_names(collected):
    folder, storage = collected
    modules = [name for name in storage.hashed_files if name.startswith("js/rating/")]
    assert len(modules) > 10
    for name in modules:
        text = (folder / storage.hashed_files[name]).read_text(encoding="utf-8")
        for target in re.findall(r'from\s+"(\.[^"]+)"', text):
            assert re.search(r"\.[0-9a-f]{12}\.js$", target), f"{name} imports {target}"
            assert (folder / Path(name).parent / target).exists()
