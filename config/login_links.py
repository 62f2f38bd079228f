"""Links that log one person in, once."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from sesame.utils import get_query_string
from sesame.views import LoginView

from annotate.models import User


def login_link(*, user: User) -> str:
    """A full address that logs ``user`` in; it works once, within SESAME_MAX_AGE seconds."""
    return f"{settings.PUBLIC_URL}{reverse('login_link')}{get_query_string(user)}"


class LoginLinkView(LoginView):  # type: ignore[misc]
    """Takes a login link. A link that is used up leads to the login page with a message."""

    def login_failed(self) -> HttpResponse:
        messages.error(
            self.request,
            gettext(
                "This login link has been used or has expired. "
                "`manage.py login_link NAME` makes a new one."
            ),
        )
        return redirect("login")
