"""The pool's buttons: promote, retire, rejoin. Each can be undone by another."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from annotate.access import project_for
from annotate.models import Policy
from annotate.views.requests import MemberRequest
from training import best_of, pool
from training.errors import NotNow


@login_required
@require_POST
def promote(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Make a policy the champion."""
    return _change(request, slug, policy, pool.promote, gettext("%(name)s is the champion now."))


@login_required
@require_POST
def retire(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Take a policy out of the pool."""
    return _change(
        request,
        slug,
        policy,
        pool.retire,
        gettext("%(name)s has left the pool; what it wrote is kept."),
    )


@login_required
@require_POST
def rejoin(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Put a retired policy back into the pool."""
    return _change(request, slug, policy, pool.rejoin, gettext("%(name)s is back in the pool."))


def _change(
    request: MemberRequest, slug: str, policy: str, change: Callable[..., None], words: str
) -> HttpResponse:
    project, _ = project_for(request, slug, manage=True)
    found = get_object_or_404(Policy, project=project, slug=policy)
    try:
        change(policy=found)
    except NotNow as error:
        messages.error(request, str(error))
    else:
        messages.success(request, words % {"name": found.slug})
    return redirect(project)


@login_required
@require_POST
def add_best_of(request: MemberRequest, slug: str) -> HttpResponse:
    """A policy that keeps the best of several answers of another."""
    project, _ = project_for(request, slug, manage=True)
    source = get_object_or_404(Policy, project=project, slug=request.POST.get("source", ""))
    count = request.POST.get("count", "")
    try:
        made = best_of.make_best_of(source=source, count=int(count) if count.isdecimal() else 0)
    except NotNow as error:
        messages.error(request, str(error))
    else:
        messages.success(request, gettext("%(name)s is in the pool.") % {"name": made.slug})
    return redirect("sampling", project.slug)
