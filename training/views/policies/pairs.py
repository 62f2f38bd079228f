"""Preference pairs and the snapshots that were frozen of them."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from annotate.access import project_for
from annotate.models import Comparison
from annotate.views.requests import MemberRequest
from training.models import Snapshot
from training.rounds.snapshots import usable_pairs

SNAPSHOTS_SHOWN = 20


@login_required
@require_GET
def pairs(request: MemberRequest, slug: str) -> HttpResponse:
    """What the judgements have settled into, and the last snapshots."""
    project, membership = project_for(request, slug, manage=True)
    usable = usable_pairs(project).aggregate(
        total=Count("pk"),
        held_out=Count("pk", filter=Q(comparison__prompt__is_held_out=True)),
        fresh=Count("pk", filter=Q(frozen_at=None)),
    )
    results = dict(
        project.comparisons.filter(state=Comparison.State.SETTLED)
        .values_list("result")
        .annotate(count=Count("pk"))
    )
    snapshots = Snapshot.objects.filter(project=project).prefetch_related("rounds").order_by("-pk")
    context = {
        "project": project,
        "membership": membership,
        "usable": {**usable, "train": usable["total"] - usable["held_out"]},
        "results": [(Comparison.Result(name).label, results.get(name, 0)) for name in RESULTS],
        "snapshots": snapshots[:SNAPSHOTS_SHOWN],
    }
    return render(request, "policies/pairs.html", context)


RESULTS = [Comparison.Result.TIE, Comparison.Result.BOTH_BAD, Comparison.Result.NO_MAJORITY]


@login_required
@require_GET
def snapshot(request: MemberRequest, slug: str, sha256: str) -> FileResponse:
    """The very bytes that a round trained on."""
    project, _ = project_for(request, slug, manage=True)
    frozen = get_object_or_404(Snapshot, project=project, sha256=sha256)
    try:
        file = frozen.file.open("rb")
    except OSError as error:
        raise Http404("The snapshot's file is no longer in the data folder.") from error
    name = f"{project.slug}-{frozen.sha256[:12]}.jsonl"
    return FileResponse(
        file, as_attachment=True, filename=name, content_type="application/jsonl; charset=utf-8"
    )
