"""Endpoints: models that are served elsewhere, and how they are reached."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.formats import number_format
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.access import project_for
from annotate.models import Project
from annotate.views.requests import MemberRequest
from training.endpoints.answers import EndpointError
from training.endpoints.editing import save_endpoint, try_out
from training.endpoints.forms import EndpointForm
from training.models import Endpoint

SHOWN = 120


@login_required
@require_GET
def endpoints(request: MemberRequest, slug: str) -> HttpResponse:
    """All of a project's endpoints, with what they have written and cost."""
    project, membership = project_for(request, slug, manage=True)
    rows = project.endpoints.select_related("policy").annotate(written=Count("policy__completions"))
    context = {
        "project": project,
        "membership": membership,
        "endpoints": rows,
        "hosts": settings.ENDPOINT_HOSTS,
    }
    return render(request, "endpoints/endpoints.html", context)


@login_required
@sensitive_post_parameters("key")
@require_http_methods(["GET", "POST"])
def new_endpoint(request: MemberRequest, slug: str) -> HttpResponse:
    """The form for a new endpoint."""
    project, _ = project_for(request, slug, manage=True)
    return _form(request, project, Endpoint(project=project))


@login_required
@sensitive_post_parameters("key")
@never_cache
@require_http_methods(["GET", "POST"])
def endpoint(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """One endpoint's form."""
    project, _ = project_for(request, slug, manage=True)
    return _form(request, project, get_object_or_404(Endpoint, project=project, pk=pk))


def _form(request: MemberRequest, project: Project, endpoint: Endpoint) -> HttpResponse:
    is_new = endpoint.pk is None
    data = request.POST if request.method == "POST" else None
    form = EndpointForm(data, instance=endpoint, project=project)
    if form.is_valid():
        erased = save_endpoint(
            project=project,
            endpoint=form.filled(),
            name=form.cleaned_data["name"],
            key=form.cleaned_data["key"],
            forget_key=form.cleaned_data.get("remove_key", False),
        )
        messages.success(request, gettext("Saved."))
        if erased and not form.cleaned_data.get("remove_key"):
            message = gettext(
                "The key was deleted, because it was given for another host. Enter the new "
                "host's key."
            )
            messages.warning(request, message)
        return redirect("endpoint", project.slug, endpoint.pk)
    context = {"project": project, "form": form, "is_new": is_new, "hosts": settings.ENDPOINT_HOSTS}
    if not is_new:
        context["endpoint"] = get_object_or_404(Endpoint, project=project, pk=endpoint.pk)
    return render(request, "endpoints/endpoint.html", context)


@login_required
@require_POST
def try_endpoint(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Ask the endpoint one short question and say what came."""
    project, _ = project_for(request, slug, manage=True)
    endpoint = get_object_or_404(Endpoint, project=project, pk=pk)
    try:
        trial = try_out(endpoint)
    except EndpointError as trouble:
        messages.error(request, str(trouble))
    else:
        text = " ".join(trial.answer.text.split())
        values = {
            "text": text if len(text) <= SHOWN else f"{text[:SHOWN]}…",
            "seconds": number_format(trial.seconds, decimal_pos=1),
        }
        if text:
            messages.success(
                request, gettext("It answered within %(seconds)s s: “%(text)s”") % values
            )
        else:
            messages.warning(
                request, gettext("It answered within %(seconds)s s, with no text.") % values
            )
    return redirect("endpoint", project.slug, endpoint.pk)
