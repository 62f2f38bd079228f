"""A rater's own pages: their progress, what is stored about them, and leaving."""

from __future__ import annotations

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotate.access import project_for
from annotate.people import members, own_data
from annotate.quality import rater_stats
from annotate.views.requests import MemberRequest


@login_required
@never_cache
@require_GET
def progress(request: MemberRequest, slug: str) -> HttpResponse:
    """The person's own figures, never another's."""
    project, membership = project_for(request, slug)
    work = rater_stats.work_of(project=project, rater=request.user)
    agreement = None
    if project.show_agreement:
        agreement = rater_stats.agreements(project, rater=request.user).get(request.user.pk)
    context = {
        "project": project,
        "membership": membership,
        "work": work,
        "most": max((count for _, count in work.days), default=0),
        "agreement": agreement,
        "practice": project.practice_items.filter(retired_at=None).exists(),
    }
    return render(request, "people/progress.html", context)


@login_required
@never_cache
@require_GET
def data(request: MemberRequest, slug: str) -> HttpResponse:
    """What is stored about the person in this project, and how to take it back."""
    project, membership = project_for(request, slug)
    context = {
        "project": project,
        "membership": membership,
        "stored": own_data.summary(project=project, user=request.user),
    }
    return render(request, "people/my_data.html", context)


@login_required
@never_cache
@require_GET
def download(request: MemberRequest, slug: str) -> HttpResponse:
    """The same, row by row, as JSON."""
    project, membership = project_for(request, slug)
    everything = own_data.everything(project=project, user=request.user, membership=membership)
    return HttpResponse(
        json.dumps(everything, ensure_ascii=False, indent=1, default=str),
        content_type="application/json; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{project.slug}-about-me.json"'},
    )


@login_required
@require_POST
def leave(request: MemberRequest, slug: str) -> HttpResponse:
    """End the membership and the consent, with or without the judgements."""
    project, membership = project_for(request, slug)
    if membership.pk is None:
        return redirect("projects")
    try:
        members.leave(
            membership=membership, take_judgements=request.POST.get("judgements") == "take"
        )
    except members.LastManager as error:
        messages.error(request, str(error))
        return redirect("my_data", project.slug)
    message = _("You have left %(project)s. Thank you for what you did there.")
    messages.success(request, message % {"project": project.name})
    return redirect("projects")
