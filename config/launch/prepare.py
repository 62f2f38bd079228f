"""What has to be there before Whetstone is started: a port, tables, files, an administrator."""

from __future__ import annotations

import errno
import socket

from django.conf import settings
from django.core.management import call_command, get_commands

from annotate.models import Project, User


class PortTakenError(RuntimeError):
    """The web server could not listen; the message says where and what to do."""


class NoAdministratorError(RuntimeError):
    """Nobody could manage this installation; the message says why and what to do."""


def check_port(host: str, port: int) -> None:
    """Raise PortTakenError where nothing could listen on ``port`` of ``host`` now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(
                f"Port {port} on {host} is used by another program. Stop that one, or choose "
                f"another port: PORT={port + 1} make up"
            ) from error
        raise PortTakenError(
            f"The web server cannot listen on port {port} of {host}: {error}. Change HOST or PORT."
        ) from error


def migrate() -> None:
    """Bring the tables up to date."""
    call_command("migrate", interactive=False, verbosity=0)


def collect_static() -> None:
    """Put the files of all packages where the web server serves them from."""
    call_command("collectstatic", interactive=False, verbosity=0)


def ensure_administrator() -> tuple[User, bool]:
    """The first active superuser, made without a password if there is none; and whether it is new.

    Raises NoAdministratorError where the name for a new one is taken.
    """
    administrator = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if administrator is not None:
        return administrator, False
    if User.objects.filter(username=settings.ADMIN_NAME).exists():
        raise NoAdministratorError(
            f"There is no active administrator, and {settings.ADMIN_NAME!r} is the name of "
            "somebody who is none. Set ADMIN_NAME to another name, or make one yourself: "
            "manage.py createsuperuser"
        )
    return User.objects.create_superuser(settings.ADMIN_NAME), True


def seed() -> bool:
    """Make the demo project where there is no project at all; returns whether it did."""
    if not settings.SEED_DEMO or Project.objects.exists() or "seed_demo" not in get_commands():
        return False
    call_command("seed_demo", verbosity=0)
    return True
