"""``manage.py login_link USER``: a link that logs one person in, once."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotate.models import User
from config.login_links import login_link


class Command(BaseCommand):
    help = "Print a link that logs a person in, once, within the hour."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="the person's user name")

    def handle(self, *, user: str, **_options: Any) -> None:
        account = User.objects.filter(username=user).first()
        if account is None:
            raise CommandError(f"There is nobody called {user!r} here.")
        if not account.is_active:
            raise CommandError(f"The account of {user!r} is switched off.")
        self.stdout.write(login_link(user=account))
