"""The glossary as a page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import get_language

from annotate.glossary import terms
from annotate.views.requests import MemberRequest


@login_required
def glossary(request: MemberRequest) -> HttpResponse:
    """All terms, each with an address of its own on the page."""
    return render(request, "onboarding/glossary.html", {"terms": terms(get_language() or "en")})
