"""``python -m whetstone COMMAND``: what ``manage.py COMMAND`` is in a checkout.

Installed, it keeps its data in ``var/`` of the folder that it is started from, unless
WHETSTONE_HOME says where.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run one of Django's commands."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if not Path(__file__).resolve().parent.with_name("manage.py").exists():
        os.environ.setdefault("WHETSTONE_HOME", str(Path.cwd() / "var"))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
