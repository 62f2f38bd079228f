"""Completions: the jobs that write them, and what was written."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseStopPolling

from annotate.access import project_for
from annotate.content.completions import kept_out
from annotate.models import Completion, Policy, Project, ScreeningRule
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.jobs.claims import request_cancel
from training.jobs.progress import percent
from training.models import SamplingJob, loop_of
from training.policies.pool import sampled_policies, set_weights
from training.projects.forms import WeightsForm
from training.sampling import jobs as service
from training.sampling.approval import approve_endpoint, approve_imported, waiting_answers
from training.sampling.refill import fill_queue
from training.sampling.underway import tried_again_at

JOBS_SHOWN = 6
COMPLETIONS_A_PAGE = 10


@dataclasses.dataclass(frozen=True)
class JobRow:
    """A sampling job with what its progress bar shows, and when it is tried again by itself."""

    job: SamplingJob
    percent_done: int
    seconds_left: int | None
    tried_again_at: datetime | None = None


@login_required
@never_cache
@require_GET
def sampling(request: MemberRequest, slug: str) -> HttpResponse:
    """The jobs, and the completions of one policy or of all."""
    project, membership = project_for(request, slug, manage=True)
    policies = project.policies.annotate(written=Count("completions")).order_by("-pk")
    chosen = policies.filter(slug=request.GET.get("policy", "")).first()
    completions = Completion.objects.filter(prompt__project=project).select_related(
        "prompt", "policy"
    )
    if chosen is not None:
        completions = completions.filter(policy=chosen)
    rejected = request.GET.get("rejected", "")
    rule = ScreeningRule(rejected) if rejected in ScreeningRule.values else None
    if rule is not None:
        completions = completions.filter(rejected_for=rule)
    page = Paginator(completions.order_by("-pk"), COMPLETIONS_A_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        **_live(project),
        "project": project,
        "membership": membership,
        "policies": policies,
        "chosen": chosen,
        "rule": rule,
        "kept_out": sum(kept_out(project).values()),
        "page": page,
        "loop": loop_of(project),
        "weights": sampled_policies(project, with_idle=True),
        "waiting": waiting_answers(project),
        "trained": project.policies.filter(
            kind=Policy.Kind.ADAPTER, state__in=Policy.IN_POOL
        ).order_by("-pk"),
    }
    return render(request, "sampling/sampling.html", context)


@login_required
@never_cache
@require_GET
def sampling_live(request: MemberRequest, slug: str) -> HttpResponse:
    """The jobs' progress, until none is at work."""
    project, _ = project_for(request, slug, manage=True)
    context = {**_live(project), "project": project}
    response = render(request, "sampling/_live.html", context)
    return response if context["is_busy"] else HttpResponseStopPolling(response.content)


@login_required
@require_POST
def start_sampling(request: MemberRequest, slug: str) -> HttpResponse:
    """Queue the completions that the pool still owes, or that fill the queue to its level."""
    project, _ = project_for(request, slug, manage=True)
    keeps_level = loop_of(project).queue_level is not None
    try:
        (fill_queue if keeps_level else service.start_sampling)(project=project)
    except Refused as error:
        messages.info(request, str(error))
    return redirect("sampling", project.slug)


@login_required
@require_POST
def approve_sampling(request: MemberRequest, slug: str) -> HttpResponse:
    """Agree to the answers of the endpoint that is named, or to those that the prompts of imported
    pairs wait for, and start."""
    project, _ = project_for(request, slug, manage=True)
    pk = request.POST.get("endpoint", "")
    try:
        if pk:
            approve_endpoint(project=project, pk=int(pk) if pk.isdecimal() else 0)
        else:
            approve_imported(project=project)
    except Refused as error:
        messages.error(request, str(error))
        return redirect("sampling", project.slug)
    return start_sampling(request, slug)


@login_required
@require_POST
def weights(request: MemberRequest, slug: str) -> HttpResponse:
    """How often each policy of the pool writes."""
    project, _ = project_for(request, slug, manage=True)
    form = WeightsForm(request.POST, policies=sampled_policies(project, with_idle=True))
    try:
        if not form.is_valid():
            raise Refused(form.words())
        set_weights(project=project, weights=form.cleaned_data)
    except Refused as error:
        messages.error(request, gettext("Nothing was changed. %(why)s") % {"why": error})
    else:
        messages.success(request, gettext("Saved."))
    return redirect("sampling", project.slug)


@login_required
@require_POST
def cancel_sampling(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Ask a sampling job to stop."""
    project, _ = project_for(request, slug, manage=True)
    job = get_object_or_404(SamplingJob, project=project, pk=pk)
    request_cancel(job=job)
    messages.info(request, gettext("Asked to stop. Completions so far are kept."))
    return redirect("sampling", project.slug)


def _live(project: Project) -> dict[str, Any]:
    jobs = (
        SamplingJob.objects.filter(project=project)
        .select_related("endpoint", "project")
        .prefetch_related("policies")[:JOBS_SHOWN]
    )
    rows = [
        JobRow(
            job,
            percent(job.stored, job.total_steps),
            service.seconds_left(job) if job.state == SamplingJob.State.RUNNING else None,
            _tried_again_at(job),
        )
        for job in jobs
    ]
    return {"rows": rows, "is_busy": any(not row.job.is_finished for row in rows)}


def _tried_again_at(job: SamplingJob) -> datetime | None:
    """When what failed in ``job`` is tried again by itself; None where nothing of it is."""
    if job.state != SamplingJob.State.FAILED or job.project.is_paused:
        return None
    for policy in job.policies.all():
        newest = SamplingJob.objects.filter(policies=policy).order_by("-pk").first()
        if newest == job and policy.is_in_pool:
            return tried_again_at(policy)
    return None
