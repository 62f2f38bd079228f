"""When rounds start by themselves: what would happen now and why, and what is asked for."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotate.access import project_for
from annotate.views.requests import MemberRequest
from training.models import PlanWindow, loop_of
from training.schedule import auto_start
from training.schedule.forms import ScheduleForm

WINDOWS_SHOWN = 5


@login_required
@require_http_methods(["GET", "POST"])
def round_when(request: MemberRequest, slug: str) -> HttpResponse:
    """A dry run of the clock, condition by condition, and the form of its rules."""
    project, membership = project_for(request, slug, manage=True)
    data = request.POST if request.method == "POST" else None
    form = ScheduleForm(data, instance=loop_of(project))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, gettext("Saved."))
        return redirect("round_when", project.slug)
    past = PlanWindow.objects.filter(project=project).exclude(decided_at=None)
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "outlook": auto_start.dry_run(project),
        "past_windows": past.select_related("round")[:WINDOWS_SHOWN],
    }
    return render(request, "schedule/schedule.html", context)
