"""What comes after a round: its report, two rounds compared, and what is taken along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from annotate.access import project_for
from annotate.models import Project
from annotate.views.requests import MemberRequest
from training.engine.config import flat
from training.errors import Refused
from training.exports import compare as comparing
from training.exports.archive import Member, members_of, size_of, tar_of
from training.exports.hub_push import start_push
from training.exports.load_snippets import Lines, with_peft, with_transformers, with_vllm
from training.exports.merge import FOLDER, merge_kept, newest_merge, remove_merged, start_merge
from training.exports.report import report_of
from training.jobs.claims import request_cancel
from training.models import HubPush, Round
from training.storage import artifacts
from training.views.figures import compared_figures, curves_of

PUSHES_SHOWN = 5
SUFFIX = ".tar"


@login_required
@never_cache
@require_GET
def report(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Everything that a succeeded round comes to, to be read, printed and taken along."""
    project, membership = project_for(request, slug, manage=True)
    round_ = _succeeded(project, number)
    context = {
        **_taken_along(round_),
        "project": project,
        "membership": membership,
        "report": report_of(round_),
        "settings": flat(round_.config).items(),
    }
    return render(request, "exports/report.html", context)


@login_required
@never_cache
@require_GET
def afterwards_live(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """The part of the report that changes while something is merged or pushed."""
    project, _ = project_for(request, slug, manage=True)
    context = {**_taken_along(_succeeded(project, number)), "project": project}
    return render(request, "exports/_downloads.html", context)


@login_required
@never_cache
@require_GET
def compare(request: MemberRequest, slug: str) -> HttpResponse:
    """Two rounds, named by their numbers as ``a`` and ``b``."""
    project, membership = project_for(request, slug, manage=True)
    rounds = list(project.rounds.order_by("-number"))
    numbers = [request.GET.get(name, "") for name in ("a", "b")]
    context: dict[str, Any] = {"project": project, "membership": membership, "rounds": rounds}
    context |= {"chosen_a": numbers[0], "chosen_b": numbers[1]}
    if all(number.isdecimal() and len(number) < 10 for number in numbers):
        if numbers[0] == numbers[1]:
            context["hint"] = gettext("Choose two different rounds.")
        else:
            a, b = (_round(project, int(number)) for number in numbers)
            first, second = report_of(a, with_samples=False), report_of(b, with_samples=False)
            context |= {
                "a": a,
                "b": b,
                "settings": comparing.settings_that_differ(a, b),
                "figures": comparing.figures_of(first, second),
                "data": comparing.data_difference(a.snapshot, b.snapshot),
                "charts": compared_figures(a, curves_of(a), b, curves_of(b)),
            }
    elif any(numbers):
        raise Http404
    return render(request, "exports/compare.html", context)


# --- taken along ---


@login_required
@require_GET
def download_adapter(request: MemberRequest, slug: str, number: int) -> StreamingHttpResponse:
    """The adapter with its card, as a tar archive."""
    project, _ = project_for(request, slug, manage=True)
    round_ = _succeeded(project, number)
    return _archive(round_, _adapter_of(round_), "adapter")


@login_required
@require_GET
def download_merged(request: MemberRequest, slug: str, number: int) -> StreamingHttpResponse:
    """The merged model with its card, as a tar archive."""
    project, _ = project_for(request, slug, manage=True)
    round_ = _succeeded(project, number)
    return _archive(round_, _merged_of(round_), "merged")


@login_required
@require_GET
def model_card(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """The card as it stands now, as text."""
    from training.exports.model_card import card_of

    project, _ = project_for(request, slug, manage=True)
    text = card_of(_succeeded(project, number))
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def _archive(round_: Round, folder: Path | None, part: str) -> StreamingHttpResponse:
    from training.exports.model_card import CARD, card_of

    top = f"{round_.project.slug}-round-{round_.number}{'-merged' if part == 'merged' else ''}"
    try:
        if folder is None:
            raise FileNotFoundError
        card = card_of(round_, what="merged" if part == "merged" else "adapter")
        members = members_of(folder, top, {CARD: card})
    except FileNotFoundError as error:
        raise Http404(gettext("The files are no longer in the data folder.")) from error
    return tar_response(members, top)


def tar_response(members: list[Member], name: str) -> StreamingHttpResponse:
    """The archive, made while it is sent."""
    response = StreamingHttpResponse(tar_of(members), content_type="application/x-tar")
    response["Content-Disposition"] = f'attachment; filename="{name}{SUFFIX}"'
    response["Content-Length"] = str(size_of(members))
    return response


@login_required
@require_POST
def merge(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Queue the merging of the adapter into its base."""

    def act(round_: Round) -> None:
        start_merge(round_=round_, requested_by=request.user)

    return _do(request, slug, number, act)


@login_required
@require_POST
def cancel_merge(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Ask a merge to stop."""

    def act(round_: Round) -> None:
        running = newest_merge(round_)
        if running is not None and not running.is_finished:
            request_cancel(job=running)

    return _do(request, slug, number, act)


@login_required
@require_POST
def unmerge(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Delete the merged model's files; it can be made again."""

    def act(round_: Round) -> None:
        freed = remove_merged(round_=round_)
        message = gettext("The merged model was removed; %(size)s are free again.")
        messages.success(request, message % {"size": filesizeformat(freed)})

    return _do(request, slug, number, act)


@login_required
@sensitive_post_parameters("token")
@require_POST
def push(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Queue a push to the hub."""
    what = request.POST.get("what", "")

    def act(round_: Round) -> None:
        if what not in HubPush.What.values:
            raise Refused(gettext("Nothing to do."))
        start_push(
            round_=round_,
            what=what,
            repo=request.POST.get("repo", "")[:200],
            is_private=request.POST.get("public") != "yes",
            token=request.POST.get("token", "").strip()[:1000],
            requested_by=request.user,
        )

    return _do(request, slug, number, act)


def _do(
    request: MemberRequest, slug: str, number: int, act: Callable[[Round], None]
) -> HttpResponse:
    project, _ = project_for(request, slug, manage=True)
    round_ = _succeeded(project, number)
    try:
        act(round_)
    except Refused as error:
        messages.error(request, str(error))
    return redirect(f"{reverse('report', args=[project.slug, number])}#take")


def _taken_along(round_: Round) -> dict[str, Any]:
    merged = newest_merge(round_)
    kept_merge = merge_kept(round_)
    pushes = list(round_.pushes.all()[:PUSHES_SHOWN])
    busy = (merged is not None and not merged.is_finished) or any(
        not push_.is_finished for push_ in pushes
    )
    policy = round_.policy
    adapter = Path(policy.adapter_path) if policy else None
    lines: list[Lines] = []
    if policy is not None:
        lines.append(with_peft(policy.adapter_path, policy.base_model))
    if kept_merge is not None:
        folder = str(Path(kept_merge.run_dir) / FOLDER)
        lines += [with_transformers(folder), with_vllm(folder)]
    return {
        "round": round_,
        "merge": merged,
        "merged": kept_merge,
        "merged_bytes": kept_merge.result.get("bytes") if kept_merge else None,
        "adapter_bytes": _bytes_in(adapter) if adapter and adapter.is_dir() else None,
        "pushes": pushes,
        "is_busy": busy,
        "lines": lines,
        "hub": settings.HUB_URL,
        "has_hub_token": bool(settings.HUB_TOKEN),
    }


def _adapter_of(round_: Round) -> Path | None:
    """Its folder, whole, on this machine, from wherever it is kept."""
    try:
        return artifacts.local_adapter(round_.policy.adapter_path) if round_.policy else None
    except artifacts.ArtifactError:
        return None


def _merged_of(round_: Round) -> Path | None:
    merge_ = merge_kept(round_)
    try:
        return artifacts.local_made(merge_.run, FOLDER) if merge_ else None
    except artifacts.ArtifactError:
        return None


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _succeeded(project: Project, number: int) -> Round:
    round_ = _round(project, number)
    if round_.state != Round.State.SUCCEEDED or round_.policy is None:  # as of a reward model
        raise Http404(gettext("Only a round that has succeeded has a report."))
    return round_


def _round(project: Project, number: int) -> Round:
    return get_object_or_404(
        Round.objects.select_related(
            "project", "policy", "start", "reference", "snapshot", "requested_by"
        ),
        project=project,
        number=number,
    )
