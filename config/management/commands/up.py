"""``manage.py up``: prepare what is missing and run everything until Ctrl-C."""

from __future__ import annotations

import contextlib
import http.client
import os
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.urls import reverse

from annotate.models import User
from config.launch.prepare import (
    NoAdministratorError,
    PortTakenError,
    check_port,
    collect_static,
    ensure_administrator,
    migrate,
    seed,
)
from config.launch.private_redis import NoPrivateRedisError
from config.launch.processes import all_processes
from config.launch.single_instance import AlreadyRunningError, sole
from config.launch.supervisor import keep_running
from config.login_links import login_link

PATIENCE_SECONDS = 60


class Command(BaseCommand):
    help = "Prepare what is missing and run everything until Ctrl-C."
    requires_system_checks = []  # migrate runs them, once the tables are there

    def handle(self, **_options: Any) -> None:
        os.umask(0o077)  # what is made from here on is only for this user
        note = f"{settings.PUBLIC_URL} (process {os.getpid()})"
        try:
            with sole(settings.HOME / "up.lock", note=note):
                self.up()
        except AlreadyRunningError as error:
            raise CommandError(
                f"Whetstone is already running on {settings.HOME}: {error}. Stop that one first, "
                "or set WHETSTONE_HOME to another folder."
            ) from error
        except (NoAdministratorError, NoPrivateRedisError, PortTakenError) as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.say("Stopped before everything was started.")

    def up(self) -> None:
        check_port(settings.HOST, settings.PORT)
        self.say(f"Whetstone keeps its data in {settings.HOME}")
        self.say("Preparing the database…")
        migrate()
        self.say("Collecting static files…")
        collect_static()
        user, is_new = ensure_administrator()
        if is_new:
            self.say(f"Made the first account, {user.username}, which manages everything.")
        seed()  # prints its own message
        processes = all_processes()
        titles = ", ".join(process.title for process in processes)
        self.say(f"Starting {titles}…")
        connections.close_all()
        keep_running(
            processes,
            logs=settings.HOME / "logs",
            directory=settings.BASE_DIR,
            say=self.say,
            while_running=Welcome(self, user).once_ready,
        )
        self.say("Stopped. Nothing is left running.")

    def say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # the terminal may be gone; stopping goes on
            self.stdout.write(line)
            self.stdout.flush()


class Welcome:
    """Says where Whetstone is and how to get in, once it answers there."""

    def __init__(self, command: Command, user: User) -> None:
        self.command = command
        self.user = user
        self.is_said = False
        self.impatient_at: float | None = monotonic() + PATIENCE_SECONDS

    def once_ready(self) -> None:
        if self.is_said:
            return
        if web_answers():
            self.is_said = True
            link = login_link(user=self.user)
            self.command.say(
                f"\n  Whetstone is ready:  {settings.PUBLIC_URL}\n"
                f"  Log in as {self.user.username}, once, within the hour:\n  {link}\n\n"
                f"  Logs are in {settings.HOME / 'logs'}. Ctrl-C stops everything.\n"
            )
        elif self.impatient_at is not None and monotonic() > self.impatient_at:
            self.impatient_at = None
            self.command.say(
                f"The web server has not answered for {PATIENCE_SECONDS} seconds; still waiting. "
                f"See {settings.HOME / 'logs' / 'web.log'}"
            )


def web_answers() -> bool:
    """Whether our web server says that it is well, within a second."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104
    connection = http.client.HTTPConnection(host, settings.PORT, timeout=1)
    try:
        connection.request(
            "GET", reverse("health"), headers={"Host": urlsplit(settings.PUBLIC_URL).netloc}
        )
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
