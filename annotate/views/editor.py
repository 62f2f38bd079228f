"""The project editor: what stands on the card, beside the card as it will be."""

from __future__ import annotations

import copy
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from annotate.access import project_for
from annotate.forms.project import EditorForm
from annotate.models import Project
from annotate.onboarding import texts
from annotate.views.exhibits import exhibit, newest_comparison
from annotate.views.requests import MemberRequest


@login_required
@require_http_methods(["GET", "POST"])
def editor(request: MemberRequest, slug: str) -> HttpResponse:
    """Saved whole or not at all. Without JavaScript a button asks for the preview."""
    project, membership = project_for(request, slug, manage=True)
    draft = copy.copy(project)  # the form writes into its instance even where it refuses
    form = EditorForm(request.POST if request.method == "POST" else None, instance=draft)
    only_look = "preview" in request.POST
    if request.method == "POST" and form.is_valid() and not only_look:
        form.instance.save(update_fields=[*form.Meta.fields, "criteria", "reason_tags"])
        messages.success(request, gettext("Saved. Cards look like this from now on."))
        return redirect("editor", project.slug)
    context = {
        **_preview(request, project, form),
        "project": project,
        "membership": membership,
        "form": form,
        "guidelines": texts.newest(project, texts.Kind.GUIDELINES),
        "consent": texts.newest(project, texts.Kind.CONSENT),
        "practice_count": project.practice_items.filter(retired_at=None).count(),
        "gold_count": project.gold_items.filter(retired_at=None).count(),
        "only_look": only_look,
    }
    status = 422 if request.method == "POST" and form.errors else 200
    return render(request, "content/card_editor.html", context, status=status)


@login_required
@require_POST
def editor_preview(request: MemberRequest, slug: str) -> HttpResponse:
    """The card as the form has it now; stores nothing. A bad field shows what is saved."""
    project, membership = project_for(request, slug, manage=True)
    form = EditorForm(request.POST, instance=copy.copy(project))
    context = {**_preview(request, project, form), "membership": membership}
    return render(request, "content/_card_preview.html", context)


def _preview(request: MemberRequest, project: Project, form: EditorForm) -> dict[str, Any]:
    draft = form.instance
    for name in form.errors if form.is_bound else ():
        if hasattr(project, name):
            setattr(draft, name, getattr(project, name))
    return exhibit(request, draft, newest_comparison(project))
