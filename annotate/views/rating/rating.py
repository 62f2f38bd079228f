"""The rating screen: serve a card, take the verdict, undo.

Every address works as a plain form, and answers JSON to a script that sends the header
``X-Whetstone: card`` (``cards.as_json``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from annotate.access import project_for
from annotate.db.write_lock import one_thread
from annotate.models import Judgement, Project
from annotate.onboarding.steps import next_step
from annotate.queue.cards import CannotRenew, card_of, renew_lease, serve_ahead, serve_next
from annotate.queue.history import CannotUndo, undo_last
from annotate.queue.line_ups import has_line_up
from annotate.queue.record import UnknownJudgement, record_verdict
from annotate.queue.verdicts import VerdictDetails, VerdictRefused
from annotate.views.rating.cards import as_json, card_context
from annotate.views.requests import MemberRequest

NOTICES = {
    "stored": None,
    "repeated": None,
    "conflicting": _(
        "You had already judged that one differently; your first verdict stays. Undo reopens it."
    ),
    "late": _(
        "Your time for that one had run out and others finished it. Your verdict is kept, but it "
        "does not count."
    ),
    "undone": _("That verdict was undone in another window."),
}
HTTP_STATUS = {"conflicting": 409}
CRITERION = "criterion."


@login_required
@never_cache
@require_GET
def rate(request: MemberRequest, slug: str) -> HttpResponse:
    """The rating page, with the card that the rater holds or the next one."""
    project, membership = project_for(request, slug)
    if step := next_step(membership):
        return redirect(step)
    judgement = serve_next(project=project, rater=request.user)
    if judgement is None and has_line_up(project=project, rater=request.user):
        return _to_line_up(request, project)
    notice = " ".join(str(message) for message in messages.get_messages(request))
    return _page(request, card_context(request, project, judgement, notice=notice or None))


def _to_line_up(request: MemberRequest, project: Project) -> HttpResponse:
    address = reverse("line_up", args=[project.slug])
    return HttpResponseClientRedirect(address) if request.htmx else redirect(address)


@one_thread
@login_required
@never_cache
@require_GET
def ahead(request: MemberRequest, slug: str) -> HttpResponse:
    """The card to fetch while another is read."""
    project, _ = project_for(request, slug)
    judgement = _card_after(request, project, request.GET.get("after", ""))
    return as_json(request, card_context(request, project, judgement), status="ahead")


@one_thread
@login_required
@never_cache
@require_POST
def verdict(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Store a verdict; answer with the next card."""
    project, _ = project_for(request, slug)
    choice, details = request.POST.get("choice", ""), details_from(request.POST)
    try:
        done = record_verdict(code=code, rater=request.user, choice=choice, details=details)
    except UnknownJudgement as error:
        raise Http404 from error
    except VerdictRefused as error:
        return _refused(request, project, code, choice, details, error)
    notice = NOTICES[done.status]

    def context() -> dict[str, Any]:
        judgement = _card_after(request, project, request.POST.get("showing", ""))
        can_undo = True if done.status == "stored" else None
        return card_context(request, project, judgement, notice=notice, can_undo=can_undo)

    http_status = HTTP_STATUS.get(done.status, 200)
    return _respond(
        request, project, context, status=done.status, notice=notice, http_status=http_status
    )


def _refused(
    request: MemberRequest,
    project: Project,
    code: UUID,
    choice: str,
    details: VerdictDetails,
    error: VerdictRefused,
) -> HttpResponse:
    """The same card again, with what was typed and what is missing."""

    def context() -> dict[str, Any]:
        judgement = card_of(code=code, rater=request.user)
        return card_context(
            request, project, judgement, errors=error.errors, choice=choice, details=details
        )

    return _respond(request, project, context, status="refused", in_place=True)


@one_thread
@login_required
@never_cache
@require_POST
def lease(request: MemberRequest, slug: str, code: UUID) -> HttpResponse:
    """Keep a card that is being read. 410 where the work went to others."""
    project, _ = project_for(request, slug)
    try:
        renew_lease(project=project, rater=request.user, code=code)
    except CannotRenew as error:
        return HttpResponse(str(error), status=410, content_type="text/plain; charset=utf-8")
    return HttpResponse(status=204)


@one_thread
@login_required
@never_cache
@require_POST
def undo(request: MemberRequest, slug: str) -> HttpResponse:
    """Reopen the rater's last verdict."""
    project, _ = project_for(request, slug)
    try:
        judgement = undo_last(project=project, rater=request.user)
    except CannotUndo as error:
        notice = str(error)

        def unchanged() -> dict[str, Any]:
            shown = serve_next(project=project, rater=request.user)
            return card_context(request, project, shown, notice=notice)

        return _respond(request, project, unchanged, status="refused", notice=notice)

    def reopened() -> dict[str, Any]:
        return card_context(request, project, judgement)

    return _respond(request, project, reopened, status="undone")


def _respond(
    request: MemberRequest,
    project: Project,
    context: Callable[[], dict[str, Any]],
    *,
    status: str,
    notice: Any = None,
    http_status: int = 200,
    in_place: bool = False,
) -> HttpResponse:
    """The answer to a press of a button, in the form that the client wants.

    A script gets JSON, without a card where it was refused; htmx gets the card; a plain form is
    redirected to the rating page with the notice, or gets the card again (``in_place``).
    """
    is_refused = status == "refused"
    if request.headers.get("X-Whetstone") == "card":
        http_status = 422 if is_refused else http_status
        return as_json(
            request, context(), status=status, http_status=http_status, with_card=not is_refused
        )
    if request.htmx or in_place:
        return _page(request, context(), status=422 if in_place else http_status)
    if notice:
        messages.warning(request, str(notice))
    return redirect("rate", project.slug)


def details_from(posted: QueryDict) -> VerdictDetails:
    """What the form was sent with, beside the choice."""
    return VerdictDetails(
        strength=posted.get("strength", ""),
        criteria={
            name.removeprefix(CRITERION): posted.get(name, "")
            for name in posted
            if name.startswith(CRITERION)
        },
        reason=posted.get("reason", ""),
        tags=tuple(posted.getlist("tag")),
        flags=tuple(posted.getlist("flag")),
        edit=posted.get("edit", ""),
        edited_from=posted.get("edited_from", ""),
    )


def _card_after(request: MemberRequest, project: Project, showing: str) -> Judgement | None:
    """The card after the one on the screen; where none is on it, the one to show."""
    try:
        after = UUID(showing)
    except ValueError:
        return serve_next(project=project, rater=request.user)
    return serve_ahead(project=project, rater=request.user, after=after)


def _page(request: MemberRequest, context: dict[str, object], *, status: int = 200) -> HttpResponse:
    template = "rating/_card.html" if request.htmx else "rating/rate.html"
    return render(request, template, context, status=status)
