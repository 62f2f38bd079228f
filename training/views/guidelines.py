"""The guidelines on a page of their own: for printing, for phones, and without JavaScript."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from annotate.access import project_for
from annotate.views.requests import MemberRequest


@login_required
@require_GET
def guidelines(request: MemberRequest, slug: str) -> HttpResponse:
    """What raters of this project are asked to look at."""
    project, membership = project_for(request, slug)
    return render(
        request, "annotate/guidelines.html", {"project": project, "membership": membership}
    )
