"""Editing the guidelines and the consent text: preview, versions, what changed."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.access import project_for
from annotate.forms.people import TextForm
from annotate.models import ProjectText
from annotate.onboarding import texts
from annotate.views.requests import MemberRequest

SHOWN = 50


def _kind(name: str) -> texts.Kind:
    if name not in texts.Kind.values:
        raise Http404
    return texts.Kind(name)


@login_required
@require_http_methods(["GET", "POST"])
def text_editor(request: MemberRequest, slug: str, kind: str) -> HttpResponse:
    """Write a new version. Somebody else's that came in between is shown, not written over."""
    project, membership = project_for(request, slug, manage=True)
    text_kind = _kind(kind)
    newest = texts.newest(project, text_kind)
    number, current = (newest.number, newest.text) if newest else (0, "")
    form = TextForm(
        request.POST if request.method == "POST" else None,
        initial={"text": current, "base": number},
    )
    overtaken = False
    if request.method == "POST" and form.is_valid() and "preview" not in request.POST:
        if form.cleaned_data["base"] != number:
            overtaken = True
        else:
            written = texts.write(
                project=project,
                kind=text_kind,
                text=form.cleaned_data["text"],
                note=form.cleaned_data["note"],
                author=request.user,
            )
            if written is None:
                message = gettext("Nothing has changed, so there is no new version.")
                messages.info(request, message)
            else:
                message = gettext("Saved as version %(number)s.")
                messages.success(request, message % {"number": written.number})
            return redirect("text_editor", project.slug, kind)
    context = {
        "project": project,
        "membership": membership,
        "kind": text_kind,
        "form": form,
        "now": newest,
        "number": number,
        "overtaken": texts.difference(form["text"].value() or "", current) if overtaken else None,
        "written": form["text"].value() or "",
        "versions": texts.versions(project, text_kind)[:SHOWN],
        "agreed": newest.consents.filter(withdrawn_at=None).count() if newest else 0,
    }
    status = 409 if overtaken else 422 if form.errors else 200
    return render(request, "onboarding/text_editor.html", context, status=status)


@login_required
@require_POST
def text_preview(request: MemberRequest, slug: str, kind: str) -> HttpResponse:
    """The text as it will be read; stores nothing."""
    project_for(request, slug, manage=True)
    _kind(kind)
    return render(
        request, "onboarding/_text_preview.html", {"written": request.POST.get("text", "")[:50_000]}
    )


@login_required
@require_GET
def text_version(request: MemberRequest, slug: str, kind: str, number: int) -> HttpResponse:
    """One version, and what it changed in the one before."""
    project, membership = project_for(request, slug, manage=True)
    text_kind = _kind(kind)
    version = get_object_or_404(ProjectText, project=project, kind=text_kind, number=number)
    before = project.texts.filter(kind=text_kind, number=number - 1).first()
    context = {
        "project": project,
        "membership": membership,
        "kind": text_kind,
        "version": version,
        "before": before,
        "changed": texts.difference(before.text if before else "", version.text),
        "newest": texts.newest(project, text_kind),
    }
    return render(request, "onboarding/text_version.html", context)
