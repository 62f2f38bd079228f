"""What import-linter cannot check: that nothing imports torch while the web process runs."""

import ast
import subprocess
import sys
from collections import defaultdict

from tests.conftest import ROOT

CODE = """
import sys
import django
django.setup()
import config.urls, config.wsgi, training.tasks, training.jobs.worker
from django.core.management import get_commands, load_command_class
for name, app in get_commands().items():
    if not app.startswith("django"):
        load_command_class(app, name)
heavy = {"torch", "transformers", "peft", "accelerate", "trl"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""


def test_web_and_default_worker_never_import_torch():
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_engine_is_importable_without_django():
    code = (
        "import sys, training.engine.config;"
        "import training.engine.commands.train, training.engine.commands.sample;"
        "sys.exit(bool({'django', 'celery'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_two_public_classes_share_a_name():
    """A class's name is enough to know which class it is."""
    places = defaultdict(list)
    for package in ("annotate", "config", "training", "whetstone"):
        for path in (ROOT / package).rglob("*.py"):
            if not {"migrations", "commands"} & set(path.parts[len(ROOT.parts) :]):
                for node in ast.parse(path.read_text(encoding="utf-8")).body:
                    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                        places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
