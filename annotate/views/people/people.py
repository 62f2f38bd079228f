"""The managers' page about people: roles, pauses, figures; and the invitations."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.access import project_for
from annotate.forms.people import InvitationForm, PauseForm
from annotate.models import Invitation, Membership
from annotate.people import invitations as inviting
from annotate.people import members
from annotate.people.team import team
from annotate.views.requests import MemberRequest


@login_required
@never_cache
@require_GET
def people(request: MemberRequest, slug: str) -> HttpResponse:
    """Everybody in the project, with how much and how well they judge."""
    project, membership = project_for(request, slug, manage=True)
    context = {
        "project": project,
        "membership": membership,
        "team": team(project),
        "roles": Membership.Role.choices,
    }
    return render(request, "people/people.html", context)


@login_required
@require_POST
def change_member(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """One of: another role, a pause, its end, removal."""
    project, _ = project_for(request, slug, manage=True)
    member = get_object_or_404(
        Membership.objects.select_related("project", "user"), project=project, pk=pk
    )
    name = member.user.username
    try:
        message = _change(request, member)
    except members.LastManager as error:
        messages.error(request, str(error))
    else:
        if message is None:
            return HttpResponse(gettext("Nothing to do."), status=422)
        messages.success(request, message % {"name": name})
    if member.user == request.user and member.role != Membership.Role.MANAGER:
        return redirect("projects")
    return redirect("people", project.slug)


def _change(request: MemberRequest, member: Membership) -> str | None:
    """Do what was asked. Returns a message with a placeholder for the name."""
    action, role = request.POST.get("do"), request.POST.get("role", "")
    if action == "role" and role in Membership.Role.values:
        members.change_role(membership=member, role=role)
        return {
            Membership.Role.RATER: gettext("%(name)s is a rater now."),
            Membership.Role.REVIEWER: gettext("%(name)s is a reviewer now."),
            Membership.Role.MANAGER: gettext("%(name)s is a manager now."),
        }[Membership.Role(role)]
    if action == "pause":
        form = PauseForm(request.POST)
        if not form.is_valid():
            return None
        members.pause(membership=member, reason=form.cleaned_data["reason"])
        return gettext("%(name)s is paused; the cards they had open go to other raters.")
    if action == "resume":
        members.resume(membership=member)
        return gettext("%(name)s gets cards again.")
    if action == "remove":
        members.leave(membership=member, by=request.user)
        return gettext("%(name)s was removed from the project. Their judgements are kept.")
    return None


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def invitations(request: MemberRequest, slug: str) -> HttpResponse:
    """All links; a new one is shown in the answer that makes it, and never again."""
    project, membership = project_for(request, slug, manage=True)
    form = InvitationForm(request.POST if request.method == "POST" else None)
    link, new_invitation, status = "", None, 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            new_invitation, token = inviting.invite(
                project=project,
                role=form.cleaned_data["role"],
                by=request.user,
                lasts=form.lasting(),
                max_uses=form.cleaned_data["max_uses"],
                note=form.cleaned_data["note"],
            )
            link = request.build_absolute_uri(reverse("join", args=[token]))
            form, status = InvitationForm(), 201
    newest_first = (
        Invitation.objects.filter(project=project)
        .select_related("created_by")
        .prefetch_related("arrivals__user")
        .order_by("-pk")
    )
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "made": new_invitation,
        "link": link,
        "invitations": [
            (invitation, inviting.state_of(invitation)) for invitation in newest_first[:100]
        ],
    }
    return render(request, "people/invitations.html", context, status=status)


@login_required
@require_POST
def revoke_invitation(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Close a link."""
    project, _ = project_for(request, slug, manage=True)
    inviting.revoke(invitation=get_object_or_404(Invitation, project=project, pk=pk))
    messages.success(request, gettext("The link is closed. People who joined with it stay."))
    return redirect("invitations", project.slug)
