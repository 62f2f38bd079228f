"""Rounds: the list, the page of one while it runs and after, and its two buttons."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseStopPolling

from annotate.access import project_for
from annotate.models import Project
from annotate.views.requests import MemberRequest
from training.engine.config import flat
from training.errors import Refused
from training.exports.side_by_side import answers
from training.jobs.claims import request_cancel
from training.jobs.phases import STEPPING
from training.jobs.progress import percent
from training.models import Round
from training.projects import overview
from training.rewards.scored_pairs import rewards_beside
from training.rounds import lifecycle as service
from training.rounds import pausing
from training.rounds.run_warnings import run_warnings
from training.views.figures import curves_of, round_figures, speed_of, time_left_of
from training.views.rounds import live


@login_required
@require_GET
def rounds(request: MemberRequest, slug: str) -> HttpResponse:
    """All rounds of the project, and what the next one would be."""
    project, membership = project_for(request, slug, manage=True)
    rows = project.rounds.select_related("policy", "start", "snapshot", "requested_by")
    context = {
        "project": project,
        "membership": membership,
        "rounds": rows.order_by("-number"),
        "plan": service.plan(project),
    }
    return render(request, "rounds/rounds.html", context)


@login_required
@require_POST
def start_round(request: MemberRequest, slug: str) -> HttpResponse:
    """Freeze the pairs and queue a round on them."""
    project, _ = project_for(request, slug, manage=True)
    try:
        made = service.start_round(project=project, requested_by=request.user)
    except Refused as error:
        messages.error(request, str(error))
        return redirect("rounds", project.slug)
    return redirect(made)


@login_required
@never_cache
@require_GET
def round_page(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """One round: live while it runs, its report afterwards."""
    project, membership = project_for(request, slug, manage=True)
    round_ = _round(project, number)
    context = {**_live(round_), "project": project, "membership": membership}
    return render(request, "rounds/round.html", context)


@login_required
@never_cache
@require_GET
def round_live(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """The changing part of a round's page: 204 while nothing changed, 286 with the last one."""
    project, membership = project_for(request, slug, manage=True)
    round_ = _round(project, number)
    held = _live(round_)
    context = {**held, "project": project, "membership": membership}
    parts = live.changed_parts(request, held["versions"], lambda: context)
    if round_.is_finished:
        return HttpResponseStopPolling(parts or "")
    return HttpResponse(status=204) if parts is None else HttpResponse(parts)


@login_required
@require_POST
def cancel_round(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Ask the round to stop."""
    project, _ = project_for(request, slug, manage=True)
    round_ = _round(project, number)
    if round_.is_finished:
        message = gettext("Round %(number)s had finished already.")
        messages.info(request, message % {"number": number})
    else:
        request_cancel(job=round_)
        message = gettext("Round %(number)s was asked to stop. Its checkpoint and pairs are kept.")
        messages.info(request, message % {"number": number})
    return redirect(round_)


@login_required
@require_POST
def pause_round(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Ask the round to pause: a checkpoint, and the device is free."""
    project, _ = project_for(request, slug, manage=True)
    round_ = _round(project, number)
    if round_.is_finished:
        message = gettext("Round %(number)s had finished already.")
    else:
        pausing.request_pause(round_=round_)
        message = gettext("Round %(number)s was asked to pause. It continues when you resume it.")
    messages.info(request, message % {"number": number})
    return redirect(round_)


@login_required
@require_POST
def resume_round(request: MemberRequest, slug: str, number: int) -> HttpResponse:
    """Take a paused, cancelled or failed round up again."""
    project, _ = project_for(request, slug, manage=True)
    round_ = _round(project, number)
    try:
        pausing.resume(round_=round_)
    except Refused as error:
        messages.error(request, str(error))
    return redirect(round_)


def _round(project: Project, number: int) -> Round:
    return get_object_or_404(
        Round.objects.select_related(
            "project", "policy", "start", "reference", "snapshot", "requested_by"
        ),
        project=project,
        number=number,
    )


def _live(round_: Round) -> dict[str, Any]:
    curves = curves_of(round_)
    accuracy = curves.get("held_out/reward_accuracy", [])
    meeting = overview.head_to_head(round_)
    worries = run_warnings(curves, config=round_.config)
    now = live.versions(round_, [worry.seen for worry in worries])
    return {
        "round": round_,
        "versions": now,
        "seen": live.seen_of(now),
        # Drawn only where a template asks for them.
        "figures": cache(lambda: live.shown(round_, round_figures(round_, curves))),
        "concerns": worries,
        "samples": live.samples_of(round_),
        "speed": speed_of(round_, curves),
        **live.controls(round_),
        "percent_done": percent(round_.step, round_.total_steps),
        "time_left": time_left_of(round_),
        "learnt": (accuracy[0][1], accuracy[-1][1]) if len(accuracy) > 1 else None,
        "meeting": meeting,
        "meeting_rows": meeting
        and [
            (meeting.held_out, gettext("held-out prompts")),
            (meeting.everywhere, gettext("all prompts")),
        ],
        "answers": answers(round_.start, round_.policy) if round_.policy else [],
        "config": flat(round_.config).items(),
        "beside": rewards_beside(round_),
        "is_measured": round_.phase in STEPPING,
    }
