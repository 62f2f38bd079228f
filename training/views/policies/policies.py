"""Policies: their list, the page of one, and the pool's buttons. Each button can be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotate.access import project_for
from annotate.models import Policy, Project, User
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.models import LoopSettings, loop_of
from training.policies import gates, pool
from training.policies.gates import GateStanding
from training.policies.lineage import champion_terms_of, lineage_of, pairs_behind
from training.projects import overview
from training.sampling import best_of
from training.stats.win_rates import in_percent

PAIRS_SHOWN = 20


@login_required
@never_cache
@require_GET
def policies(request: MemberRequest, slug: str) -> HttpResponse:
    """All policies, the gates that are open, and who was champion when."""
    project, membership = project_for(request, slug, manage=True)
    context = {
        "project": project,
        "membership": membership,
        "ladder": overview.ladder(project, overview.bouts(project)),
        "standings": [_standing(gates.standing(gate)) for gate in gates.open_gates(project)],
        "former": pool.former_champion(project),
        "champion_terms": champion_terms_of(project),
        "is_automatic": _is_automatic(project),
    }
    return render(request, "policies/policies.html", context)


@login_required
@never_cache
@require_GET
def policy_page(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """One policy: what it comes from, how it does in the gate, and what came of it.

    ``before`` is the number of the last pair seen of those behind it.
    """
    project, membership = project_for(request, slug, manage=True)
    row = get_object_or_404(Policy, project=project, slug=policy)
    pairs = pairs_behind(row).select_related("comparison__prompt").order_by("-pk")
    before = request.GET.get("before", "")
    if before.isdecimal():
        pairs = pairs.filter(pk__lt=int(before))
    shown = list(pairs[: PAIRS_SHOWN + 1])
    lineage = lineage_of(row)
    context = {
        "project": project,
        "membership": membership,
        "policy": row,
        "lineage": lineage,
        "standings": [
            _standing(gates.standing(gate)) for gate in lineage.gates if gate.state == "open"
        ],
        "past_gates": [gate for gate in lineage.gates if gate.state != "open"],
        "pairs": shown[:PAIRS_SHOWN],
        "older": shown[PAIRS_SHOWN - 1].pk if len(shown) > PAIRS_SHOWN else None,
        "former": pool.former_champion(project),
        "is_automatic": _is_automatic(project),
    }
    return render(request, "policies/policy.html", context)


@login_required
@require_POST
def promote(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Make a policy the champion. For one whose answers nobody has judged, ask first."""
    if "sure" not in request.POST:
        project, membership = project_for(request, slug, manage=True)
        row = get_object_or_404(Policy, project=project, slug=policy)
        if not pool.is_judged(row):
            context = {
                "project": project,
                "membership": membership,
                "policy": row,
                "stay": request.POST.get("stay", ""),
            }
            return render(request, "policies/promote.html", context)
    return _change(request, slug, policy, gates.promote, gettext("%(name)s is the champion now."))


@login_required
@require_POST
def retire(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Take a policy out of the pool."""
    return _change(
        request,
        slug,
        policy,
        gates.retire,
        gettext("%(name)s has left the pool; its completions are kept."),
    )


@login_required
@require_POST
def rejoin(request: MemberRequest, slug: str, policy: str) -> HttpResponse:
    """Put a retired policy back into the pool."""

    def back(*, policy: Policy, by: User) -> None:  # noqa: ARG001
        pool.rejoin(policy=policy)

    return _change(request, slug, policy, back, gettext("%(name)s is back in the pool."))


@login_required
@require_POST
def roll_back(request: MemberRequest, slug: str) -> HttpResponse:
    """Make the former champion the champion again."""
    project, _ = project_for(request, slug, manage=True)
    try:
        champion = pool.roll_back(project=project, by=request.user)
    except Refused as error:
        messages.error(request, str(error))
    else:
        message = gettext("%(name)s is the champion again.")
        messages.success(request, message % {"name": champion.slug})
    return redirect("policies", project.slug)


def _change(
    request: MemberRequest, slug: str, policy: str, change: Callable[..., None], message: str
) -> HttpResponse:
    project, _ = project_for(request, slug, manage=True)
    row = get_object_or_404(Policy, project=project, slug=policy)
    try:
        change(policy=row, by=request.user)
    except Refused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, message % {"name": row.slug})
    if request.POST.get("stay"):
        return redirect("policy", project.slug, row.slug)
    return redirect(project)


@login_required
@require_POST
def add_best_of(request: MemberRequest, slug: str) -> HttpResponse:
    """A policy that keeps the best of several answers of another."""
    project, _ = project_for(request, slug, manage=True)
    source = get_object_or_404(Policy, project=project, slug=request.POST.get("source", ""))
    count = request.POST.get("count", "")
    try:
        made = best_of.make_best_of(source=source, count=int(count) if count.isdecimal() else 0)
    except Refused as error:
        messages.error(request, str(error))
    else:
        messages.success(request, gettext("%(name)s is in the pool.") % {"name": made.slug})
    return redirect("sampling", project.slug)


def _is_automatic(project: Project) -> bool:
    return loop_of(project).promotion == LoopSettings.Promotion.AUTOMATIC


def _standing(stands: GateStanding) -> dict[str, Any]:
    """A gate as its panel shows it: on a scale of 160 pixels, with a verdict in words."""
    evidence = stands.evidence
    return {
        "stands": stands,
        "gate": stands.gate,
        "low": f"{160 * evidence.low:.1f}",
        "high": f"{160 * evidence.high:.1f}",
        "value": f"{160 * evidence.share:.1f}",
        "interval": f"{in_percent(evidence.low)} – {in_percent(evidence.high)}",
        "words": _verdict(stands),
    }


def _verdict(stands: GateStanding) -> str:
    evidence = stands.evidence
    names = {"candidate": stands.gate.candidate.slug, "champion": stands.gate.champion.slug}
    if evidence.verdict == "promote" and stands.objections:
        message = gettext(
            "%(candidate)s has proved better in the votes, but a check blocks it. You decide."
        )
    elif evidence.verdict == "promote":
        message = gettext("%(candidate)s has proved better than %(champion)s.")
    elif evidence.is_cut_short:
        message = gettext(
            "%(candidate)s has not proved better within the number of comparisons allowed."
        )
    elif evidence.verdict == "reject":
        message = gettext("%(candidate)s has proved worse than %(champion)s.")
    elif stands.has_run_dry:
        message = gettext(
            "Undecided, and no comparison is left. More held-out prompts would bring more; or "
            "you decide."
        )
    else:
        message = gettext("Undecided so far; raters continue.")
    return message % names
