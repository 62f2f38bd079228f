"""The page behind an invitation: sign up or sign in, and be in."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from annotate.forms.people import SignUpForm
from annotate.models import Invitation, Membership, User
from annotate.onboarding.steps import next_step
from annotate.people import invitations
from annotate.people.members import RANK


@sensitive_post_parameters()
@never_cache
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest, token: str) -> HttpResponse:
    """Opening the page joins nobody, so link previews do not use a link up."""
    invitation = invitations.find(token)
    if invitation is None:
        return _sorry(request, "unknown", status=404)
    user = request.user if isinstance(request.user, User) else None
    member = user and Membership.objects.filter(project=invitation.project, user=user).first()
    if member and RANK[Membership.Role(member.role)] >= RANK[Membership.Role(invitation.role)]:
        return _go_in(member)
    state = invitations.state_of(invitation)
    if state != "open":
        return _go_in(member) if member else _sorry(request, state)
    form = SignUpForm(request.POST if request.method == "POST" and not user else None)
    if request.method == "POST" and (user or form.is_valid()):
        return _join(request, invitation, user, form)
    context = {"invitation": invitation, "project": None, "form": form, "member": member}
    return render(request, "people/join.html", context)


def _join(
    request: HttpRequest, invitation: Invitation, user: User | None, form: SignUpForm
) -> HttpResponse:
    try:
        with transaction.atomic():  # no account without the membership that it is made for
            newcomer: User = user or form.save()
            joined = invitations.accept(invitation=invitation, user=newcomer)
    except invitations.CannotJoin as error:
        if error.reason == "twice":
            return redirect(request.path)
        return _sorry(request, error.reason)
    if user is None:
        login(request, newcomer, backend=settings.AUTHENTICATION_BACKENDS[0])
    if joined.change == "promoted":
        if joined.membership.role == Membership.Role.MANAGER:
            messages.success(request, _("You are now a manager of this project."))
        else:
            messages.success(request, _("You are now a reviewer of this project."))
    return _go_in(joined.membership)


def _go_in(membership: Membership) -> HttpResponse:
    if membership.role == Membership.Role.MANAGER:
        return redirect(membership.project)
    return redirect(next_step(membership) or reverse("rate", args=[membership.project.slug]))


def _sorry(request: HttpRequest, reason: str, *, status: int = 410) -> HttpResponse:
    return render(request, "people/no_invitation.html", {"reason": reason}, status=status)
