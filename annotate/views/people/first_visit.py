"""What comes before the first card: the consent text and the guidelines."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotate.access import project_for
from annotate.models import Project, ProjectText
from annotate.onboarding import consent as consenting
from annotate.onboarding import texts
from annotate.onboarding.steps import next_step
from annotate.views.requests import MemberRequest


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def consent(request: MemberRequest, slug: str) -> HttpResponse:
    """The consent text; agreeing names the version that was read."""
    project, membership = project_for(request, slug)
    text = texts.newest(project, texts.Kind.CONSENT)
    if text is None or not text.text:
        return redirect("rate", project.slug)
    if request.method == "POST" and membership.pk:
        number = request.POST.get("number", "")
        try:
            consenting.give_consent(
                membership=membership, number=int(number) if number.isdecimal() else 0
            )
        except consenting.TextChanged as error:
            messages.warning(request, str(error))
            return redirect("consent", project.slug)
        return redirect(next_step(membership) or reverse("rate", args=[project.slug]))
    consents = consenting.consents_of(project=project, user=request.user).filter(withdrawn_at=None)
    context = {
        "project": project,
        "membership": membership,
        "text": text,
        "agreed": consents.filter(text=text).first(),
        "before": consents.exclude(text=text).first(),
        "declined": "declined" in request.GET,
    }
    return render(request, "onboarding/consent.html", context)


@login_required
@never_cache
@require_GET
def guidelines(request: MemberRequest, slug: str) -> HttpResponse:
    """What raters of this project are asked to look at: for printing, for phones, without
    JavaScript, and on the first visit. Opening a newer version ends the notice about it."""
    project, membership = project_for(request, slug)
    is_first = membership.pk is not None and membership.guidelines_read_id is None
    version = texts.newest(project, texts.Kind.GUIDELINES)
    changed = _changed_since_read(membership.guidelines_read, version)
    if not is_first:
        texts.mark_read(membership=membership)
    context = {
        "project": project,
        "membership": membership,
        "is_first": is_first and bool(version and version.text),
        "version": version,
        "changed": changed,
        "practice": project.practice_items.filter(retired_at=None).exists(),
    }
    return render(request, "onboarding/guidelines.html", context)


def _changed_since_read(
    read: ProjectText | None, version: ProjectText | None
) -> list[texts.DifferenceLine]:
    if read is None or version is None or read.number == version.number:
        return []
    return texts.difference(read.text, version.text)


@login_required
@require_POST
def guidelines_read(request: MemberRequest, slug: str) -> HttpResponse:
    """The guidelines were read, or the notice about them was dismissed."""
    project, membership = project_for(request, slug)
    texts.mark_read(membership=membership)
    return redirect(_onwards(project, next_step(membership)))


def _onwards(project: Project, step: str | None) -> str:
    return step or reverse("rate", args=[project.slug])
