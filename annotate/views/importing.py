"""Files in and out: the import page and the download of the pairs."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from annotate.access import project_for
from annotate.content.export import pair_lines, pairs_of
from annotate.forms.importing import FORMS
from annotate.importing import FileKind, ImportRefused, import_file
from annotate.importing.skipped import skipped_file


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def import_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Three forms; a refused file's bad lines stand beside the one that it was sent with."""
    project, membership = project_for(request, slug, manage=True)
    forms = {kind: form(prefix=kind.value) for kind, form in FORMS.items()}
    refused: ImportRefused | None = None
    sent = request.POST.get("kind")
    if sent in FileKind.values:
        kind = FileKind(sent)
        form = forms[kind] = FORMS[kind](request.POST, request.FILES, prefix=kind.value)
        if form.is_valid():
            try:
                report = import_file(
                    project=project,
                    kind=kind,
                    file=form.cleaned_data["file"],
                    source=form.cleaned_data["file"].name,
                    policy_slug=form.cleaned_data.get("policy") or None,
                    max_bytes=settings.MAX_UPLOAD_BYTES,
                    choices=form.choices,
                )
            except ImportRefused as error:
                refused = error
            else:
                messages.success(request, " ".join(report.sentences()))
                address = reverse("import", args=[project.slug])
                skipped = f"?skipped={report.skipped_name}#top" if report.skipped_name else "#top"
                return redirect(address + skipped)
    context = {
        "project": project,
        "membership": membership,
        "skipped": skipped_file(project, request.GET.get("skipped", "")),
        "forms": [
            (kind, form, refused if kind.value == sent else None) for kind, form in forms.items()
        ],
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "importing/import.html", context, status=status)


@login_required
@require_safe
def download_skipped(request: HttpRequest, slug: str, name: str) -> FileResponse:
    """The lines that an import left out, each with its number and what was wrong."""
    project, _ = project_for(request, slug, manage=True)
    path = skipped_file(project, name)
    if path is None:
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename=f"skipped-{name}")


@login_required
@require_safe
def download_pairs(request: HttpRequest, slug: str) -> HttpResponseBase:
    """All pairs of the project, streamed."""
    project, _ = project_for(request, slug, manage=True)
    return StreamingHttpResponse(
        pair_lines(pairs_of(project)),
        content_type="application/jsonl; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{project.slug}-pairs.jsonl"'},
    )
