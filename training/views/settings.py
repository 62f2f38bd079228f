"""A project's settings: what raters see, what the loop does, and pausing it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotate.access import project_for
from annotate.views.requests import MemberRequest
from training.models import loop_of
from training.projects.forms import LoopForm, ProjectForm


@login_required
@require_http_methods(["GET", "POST"])
def project_settings(request: MemberRequest, slug: str) -> HttpResponse:
    """Both forms on one page, saved together or not at all."""
    project, membership = project_for(request, slug, manage=True)
    data = request.POST if request.method == "POST" else None
    project_form = ProjectForm(data, instance=project)
    loop_form = LoopForm(data, instance=loop_of(project))
    if request.method == "POST" and project_form.is_valid() and loop_form.is_valid():
        project_form.save()
        loop_form.save()
        messages.success(request, gettext("Saved."))
        return redirect("project_settings", project.slug)
    if request.method == "POST":
        project.refresh_from_db()  # the page's frame keeps the saved name
    context = {
        "project": project,
        "membership": membership,
        "project_form": project_form,
        "loop_form": loop_form,
    }
    return render(request, "projects/settings.html", context)
