"""A project's home: how the loop stands and what fits next."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext, ngettext, pgettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseStopPolling

from annotate.access import project_for
from annotate.formatting import grouped
from annotate.models import Membership, Policy, Project
from annotate.views.requests import MemberRequest
from training.models import Round, loop_of
from training.policies.pool import sampled_policies
from training.projects import overview
from training.projects.headline import ProjectFacts, headline, next_step
from training.rewards import pairing
from training.rounds import lifecycle
from training.views.figures import time_left_of, win_rate_chart


@login_required
@never_cache
@require_GET
def project(request: MemberRequest, slug: str) -> HttpResponse:
    """The home of a manager; everybody else is here to rate."""
    project, membership = project_for(request, slug)
    if membership.role != Membership.Role.MANAGER and not request.user.is_superuser:
        return redirect("rate", project.slug)
    context = {**_live(project), "project": project, "membership": membership}
    return render(request, "projects/home.html", context)


@login_required
@never_cache
@require_GET
def project_live(request: MemberRequest, slug: str) -> HttpResponse:
    """The part of the home that changes by itself, until nothing is at work any more."""
    project, membership = project_for(request, slug, manage=True)
    context = {**_live(project), "project": project, "membership": membership}
    response = render(request, "projects/_live.html", context)
    if not context["is_busy"]:
        return HttpResponseStopPolling(response.content)
    return response


@login_required
@require_POST
def pause(request: MemberRequest, slug: str) -> HttpResponse:
    """Stop or resume serving comparisons and starting rounds."""
    project, _ = project_for(request, slug, manage=True)
    project.is_paused = request.POST.get("paused") == "yes"
    project.save(update_fields=["is_paused"])
    messages.success(
        request,
        gettext("Paused: raters get no comparisons and no round starts automatically.")
        if project.is_paused
        else gettext("Resumed."),
    )
    return redirect("project_settings", project.slug)


@login_required
@require_POST
def pair_up(request: MemberRequest, slug: str) -> HttpResponse:
    """Let completions that have met nothing yet meet each other."""
    project, _ = project_for(request, slug, manage=True)
    made = pairing.pair_up(project=project, waits=False)
    if made:
        message = ngettext(
            "%(count)s new comparison is in the queue.",
            "%(count)s new comparisons are in the queue.",
            made,
        )
        messages.success(request, message % {"count": grouped(made)})
    else:
        messages.info(request, gettext("Every completion has been compared already."))
    return redirect(project)


def _live(project: Project) -> dict[str, Any]:
    now = timezone.now()
    counts = overview.counts(project, now=now)
    met = overview.bouts(project)
    meetings = overview.heads_to_heads(project, met)
    training, sampling = overview.under_way(project)
    plan = lifecycle.plan(project)
    loop = loop_of(project)
    newest = project.rounds.order_by("-number").first()
    last = meetings[-1] if meetings else None
    facts = ProjectFacts(
        training=training.number if training else None,
        training_is_queued=training is not None and training.state == Round.State.QUEUED,
        training_is_paused=training is not None and training.state == Round.State.PAUSED,
        phase=training.phase if training else "",
        step=training.step if training else 0,
        total_steps=training.total_steps if training else 0,
        seconds_left=time_left_of(training) if training else None,
        last=last.round.number if last else None,
        last_failed=newest.number if newest and newest.state == Round.State.FAILED else None,
        opponent=_name(last.opponent) if last else "",
        **({"held_out": last.held_out, "everywhere": last.everywhere} if last else {}),
        new_pairs=plan.new_pairs,
        due_at_pairs=loop.round_after_pairs,
        pairs_last_day=counts.pairs_last_day,
        prompts=counts.prompts,
        completions=counts.completions,
        open_slots=counts.open_slots,
        is_sampling=sampling is not None,
        can_sample=bool(loop.base_model) or bool(sampled_policies(project)),
        can_train=plan.reason is None,
    )
    return {
        "counts": counts,
        "queue_seconds": 3600 * (counts.hours_of_queue or 0),
        "headline": headline(facts),
        "next_step": next_step(facts),
        "facts": facts,
        "plan": plan,
        "loop": loop,
        "training": training,
        "sampling": sampling,
        "is_busy": training is not None or sampling is not None,
        "meetings": meetings,
        "chart": win_rate_chart(meetings),
        "ladder": overview.ladder(project, met),
        "raters": overview.raters(project, now=now),
        "latest_rounds": project.rounds.select_related("policy", "start", "snapshot").order_by(
            "-number"
        )[:5],
    }


def _name(policy: Policy) -> str:
    if policy.state == Policy.State.CHAMPION:
        return pgettext("beats, loses to, against", "the champion")
    if policy.kind == Policy.Kind.BASE:
        return pgettext("beats, loses to, against", "the base model")
    return policy.slug
