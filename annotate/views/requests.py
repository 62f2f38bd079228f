"""The request as our middleware leaves it behind ``login_required``."""

from __future__ import annotations

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from annotate.models import User


class MemberRequest(HttpRequest):
    """A signed-in person's request, with what htmx told about it."""

    htmx: HtmxDetails
    user: User
