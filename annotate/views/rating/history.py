"""A rater's last verdicts, each of which may be opened again."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotate.access import project_for
from annotate.queue.history import SHOWN, CannotUndo, last_verdicts, reopen_verdict
from annotate.views.requests import MemberRequest


@login_required
@never_cache
@require_GET
def history(request: MemberRequest, slug: str) -> HttpResponse:
    """The last verdicts of the asking rater, and nobody else's."""
    project, membership = project_for(request, slug)
    context = {
        "project": project,
        "membership": membership,
        "verdicts": last_verdicts(project=project, rater=request.user),
        "shown": SHOWN,
    }
    return render(request, "rating/history.html", context)


@login_required
@never_cache
@require_POST
def reopen(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Show that card again; where it must stay as it is, say why."""
    project, _ = project_for(request, slug)
    try:
        reopen_verdict(rater=request.user, code=code)
    except CannotUndo as error:
        messages.warning(request, str(error))
        return redirect("history", project.slug)
    return redirect("rate", project.slug)
