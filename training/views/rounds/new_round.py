"""The page on which a round is put together, estimated and started."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods

from annotate.access import project_for
from annotate.models import Project
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.estimates.estimate import Estimate, estimate
from training.jobs import machines
from training.models import loop_of
from training.policies.pool import ensure_base
from training.rounds import lifecycle
from training.rounds.lifecycle import RoundPlan
from training.rounds.recipes import Recipe, job_of, keep_recipe, recipe_of, startable
from training.rounds.setup.forms import FIELDS, RoundForm, values_of
from training.rounds.setup.presets import PRESETS, preset


@login_required
@require_http_methods(["GET", "POST"])
def new_round(request: MemberRequest, slug: str) -> HttpResponse:
    """GET fills the form from a preset and from fields in the address; POST estimates what is in
    it, or starts the round."""
    project, membership = project_for(request, slug, manage=True)
    loop = loop_of(project)
    usual = recipe_of(loop)
    chosen = preset(request.GET.get("preset", ""))
    try:
        trained = startable(project, ensure_base(project=project))
    except Refused as error:
        messages.error(request, str(error))
        return redirect("rounds", project.slug)
    machine = machines.newest()
    # A warning's remedy comes as a link with fields in it.
    asked = {name: request.GET[name] for name in FIELDS if name in request.GET}

    def filled(data: QueryDict | None) -> RoundForm:
        return RoundForm(
            data,
            project=project,
            startable=trained,
            machine=machine,
            recipe=usual,
            changes={**chosen.change(values_of(usual)), **asked},
        )

    form = filled(request.POST if request.method == "POST" else None)
    seen: Estimate | None = None
    if request.method == "POST" and form.is_valid():
        recipe = form.recipe()
        planned = lifecycle.plan(project, recipe)
        try:
            seen = _estimate(project, recipe, planned)
            if "go" in request.POST:
                return _start(request, project, recipe, seen, keep=form.cleaned_data["keep"])
        except Refused as error:
            form.add_error(None, str(error))
    elif request.method == "GET":
        sent = filled(form.untouched())
        recipe = sent.recipe() if sent.is_valid() else usual
        planned = lifecycle.plan(project, recipe)
        try:
            seen = _estimate(project, recipe, planned)
        except Refused:
            seen = None  # said in words where the plan is
    else:
        planned = lifecycle.plan(project, usual)
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "waits": seen is not None and machine is None and request.method == "GET",
        "presets": PRESETS,
        "chosen": chosen if request.method == "GET" else None,
        "estimate": seen,
        "plan": planned,
    }
    return render(request, "rounds/new.html", context)


def _start(
    request: MemberRequest,
    project: Project,
    recipe: Recipe,
    seen: Estimate | None,
    *,
    keep: bool,
) -> HttpResponse:
    """Raises Refused where it cannot start: by the estimate, or by what the service says."""
    if seen is not None and seen.refusal:
        raise Refused(seen.refusal)
    made = lifecycle.start_round(
        project=project,
        requested_by=request.user,
        recipe=recipe,
        estimate=seen.as_dict() if seen else None,
    )
    if keep:
        keep_recipe(loop_of(project), recipe)
        messages.success(
            request, gettext("Rounds that start automatically will use these settings.")
        )
    return redirect(made)


def _estimate(project: Project, recipe: Recipe, planned: RoundPlan) -> Estimate | None:
    if planned.start is None or planned.reference is None or not planned.pairs:
        return None
    seed = planned.number if recipe.seed is None else recipe.seed
    job = job_of(
        kind=recipe.kind,
        start=planned.start,
        reference=planned.reference,
        seed=seed,
        wishes=recipe.settings,
    )
    return estimate(
        project=project,
        job=job,
        selection=recipe.selection,
        seed=seed,
        processes=recipe.processes,
    )
