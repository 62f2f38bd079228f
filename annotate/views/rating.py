"""The rating screen: serve a card, take the verdict, undo. One template for page and fragment."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotate import serving
from annotate.access import project_for
from annotate.completions import safe_html
from annotate.models import Judgement, Project
from annotate.rendering import render as to_safe_html
from annotate.views.requests import MemberRequest

NOTICES = {
    "stored": None,
    "repeated": None,
    "conflicting": "You had already judged that one differently; your first verdict stays. "
    "Undo reopens it.",
    "late": "Your time for that one had run out and others finished it, so it was not counted.",
    "undone": "That verdict was undone in another window.",
}


@login_required
@never_cache
@require_GET
def rate(request: MemberRequest, slug: str) -> HttpResponse:
    """The rating page, with the card that the rater holds or the next one."""
    project, _ = project_for(request, slug)
    judgement = serving.serve_next(project=project, rater=request.user)
    told = " ".join(str(message) for message in messages.get_messages(request))
    return _show(request, project, judgement, notice=told or None)


@login_required
@never_cache
@require_POST
def verdict(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Store a verdict and answer with the next card."""
    project, _ = project_for(request, slug)
    choice = request.POST.get("choice")
    if choice not in serving.CHOICES:
        return HttpResponse("Choose one of the five answers.", status=422)
    try:
        done = serving.record_verdict(code=code, rater=request.user, choice=choice)
    except serving.UnknownJudgement as error:
        raise Http404 from error
    notice = NOTICES[done.status]
    if not request.htmx:
        if notice:
            messages.warning(request, notice)
        return redirect("rate", project.slug)
    judgement = serving.serve_next(project=project, rater=request.user)
    status = 409 if done.status == "conflicting" else 200
    return _show(request, project, judgement, notice=notice, status=status)


@login_required
@never_cache
@require_POST
def undo(request: MemberRequest, slug: str) -> HttpResponse:
    """Reopen the rater's last verdict."""
    project, _ = project_for(request, slug)
    notice = None
    try:
        judgement: Judgement | None = serving.undo_last(project=project, rater=request.user)
    except serving.CannotUndo as error:
        notice = str(error)
        judgement = serving.serve_next(project=project, rater=request.user)
    if not request.htmx:
        if notice:
            messages.warning(request, notice)
        return redirect("rate", project.slug)
    return _show(request, project, judgement, notice=notice)


def _show(
    request: MemberRequest,
    project: Project,
    judgement: Judgement | None,
    *,
    notice: str | None = None,
    status: int = 200,
) -> HttpResponse:
    rater = request.user
    context: dict[str, Any] = {
        "project": project,
        "judgement": judgement,
        "question": project.question,
        "notice": notice,
        "today": serving.decided_today(project=project, rater=rater),
        "can_undo": serving.can_undo(project=project, rater=rater),
        "empty": None if judgement else serving.why_empty(project=project, rater=rater),
    }
    if judgement is not None:
        comparison = judgement.comparison
        sides = [comparison.a, comparison.b]
        if judgement.swapped:
            sides.reverse()
        context["left_html"], context["right_html"] = map(safe_html, sides)
        context["messages"] = [
            {"role": message["role"], "html": to_safe_html(message["content"])}
            for message in comparison.prompt.messages
        ]
    template = "annotate/_card.html" if request.htmx else "annotate/rate.html"
    return render(request, template, context, status=status)
