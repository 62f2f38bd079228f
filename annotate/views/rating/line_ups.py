"""The line-up page: several answers to one prompt, to be put into an order."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotate.access import project_for
from annotate.content.completions import safe_html
from annotate.content.prompts import safe_messages
from annotate.models import Ordering, Project
from annotate.onboarding.steps import next_step
from annotate.queue import line_ups
from annotate.queue.history import CannotUndo
from annotate.views.requests import MemberRequest

NOTICES = {
    "stored": None,
    "repeated": None,
    "conflicting": _("You had already judged that one differently; your first order stays."),
    "late": _("Your time for that one had run out, and others have finished it."),
}


@login_required
@never_cache
@require_GET
def line_up(request: MemberRequest, slug: str) -> HttpResponse:
    """The line-up that the rater holds, or the next; where there is none, the rating page."""
    project, membership = project_for(request, slug)
    if step := next_step(membership):
        return redirect(step)
    ordering = line_ups.serve_line_up(project=project, rater=request.user)
    if ordering is None:
        return redirect("rate", project.slug)
    return _page(request, project, ordering)


@login_required
@never_cache
@require_POST
def order(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Store the places, or skip; then the next line-up."""
    project, _membership = project_for(request, slug)
    try:
        if request.POST.get("skip"):
            line_ups.skip_line_up(code=code, rater=request.user)
            return redirect("line_up", project.slug)
        count = len(Ordering.objects.get(code=code, rater=request.user).shown)
        places = [request.POST.get(f"place-{number}", "") for number in range(count)]
        status = line_ups.record_order(code=code, rater=request.user, places=places)
    except (line_ups.UnknownOrdering, Ordering.DoesNotExist) as error:
        raise Http404 from error
    except line_ups.OrderRefused as error:
        ordering = Ordering.objects.get(code=code)
        return _page(request, project, ordering, error=str(error), places=places, status=422)
    if notice := NOTICES[status]:
        messages.warning(request, str(notice))
    return redirect("line_up", project.slug)


@login_required
@require_POST
def reopen(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Take an order back, so that it can be changed."""
    project, _membership = project_for(request, slug)
    try:
        line_ups.reopen_order(code=code, rater=request.user)
    except line_ups.UnknownOrdering as error:
        raise Http404 from error
    except CannotUndo as error:
        messages.warning(request, str(error))
    return redirect("line_up", project.slug)


def _page(
    request: MemberRequest,
    project: Project,
    ordering: Ordering,
    *,
    error: str = "",
    places: list[str] | None = None,
    status: int = 200,
) -> HttpResponse:
    answers = line_ups.answers_of(ordering)
    before = places or [""] * len(answers)
    context: dict[str, Any] = {
        "project": project,
        "ordering": ordering,
        "messages_of_prompt": safe_messages(ordering.line_up.prompt),
        "answers": [
            {"letter": answer.letter, "html": safe_html(answer.completion), "place": place}
            for answer, place in zip(answers, before, strict=True)
        ],
        "numbers": [str(number) for number in range(1, len(answers) + 1)],
        "error": error,
        "last": line_ups.last_order(project=project, rater=request.user),
    }
    return render(request, "rating/line_up.html", context, status=status)
