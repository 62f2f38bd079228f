"""The list of projects, and founding a new one."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from annotate.access import projects_of
from annotate.views.requests import MemberRequest
from training.projects import overview
from training.projects.create import create_project
from training.projects.forms import NewProjectForm


@login_required
@require_GET
def projects(request: MemberRequest) -> HttpResponse:
    """The projects that the person is part of; a rater with one project goes straight to it."""
    own = projects_of(request.user)
    may_found = request.user.has_perm("annotate.add_project")
    if len(own) == 1 and not may_found:
        return redirect(own[0])
    cards = [(project, overview.counts(project)) for project in own]
    return render(request, "projects/projects.html", {"cards": cards, "may_found": may_found})


@login_required
@permission_required("annotate.add_project", raise_exception=True)
@require_http_methods(["GET", "POST"])
def new_project(request: MemberRequest) -> HttpResponse:
    """The form for a new project; its founder is its first manager."""
    form = NewProjectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        project = create_project(
            project=form.save(commit=False), loop=form.loop(), manager=request.user
        )
        return redirect(project)
    return render(request, "projects/new.html", {"form": form})
