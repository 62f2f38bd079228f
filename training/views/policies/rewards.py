"""Rewards: where a model and the raters disagree, how often they agree, whom it thinks better."""

from __future__ import annotations

import csv
import dataclasses
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseStopPolling

from annotate.access import project_for
from annotate.formatting import grouped
from annotate.models import Policy, PreferencePair, Project
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.exports.archive import members_of
from training.jobs.claims import request_cancel
from training.jobs.progress import percent
from training.models import Round, Score, ScoringJob, Snapshot
from training.rewards import judging, scored_pairs, scoring
from training.rewards.agreement import CalibrationStep, RewardAgreement, agreement, chance
from training.rewards.scorers import name_of, scorers, usual
from training.rounds.reward_rounds import snapshot_at_hand, start_reward_round
from training.stats.win_rates import WinRate, in_percent, interval_in_percent
from training.storage.artifacts import ArtifactError, local_adapter
from training.views.policies.ranking import harmless
from training.views.rounds.charts import ChartPoint, Estimates, estimate_chart
from training.views.rounds.reports import tar_response

PAIRS_A_PAGE = 10
SCORERS_SHOWN = 30


@dataclasses.dataclass(frozen=True)
class SettledPairRow:
    """A settled pair as the page shows it."""

    pair: PreferencePair
    chosen: str
    rejected: str
    chance: str
    votes: tuple[int, int] | None


@login_required
@never_cache
@require_GET
def rewards(request: MemberRequest, slug: str) -> HttpResponse:
    """What one scorer and the raters make of the same pairs. ``by`` is its round's number."""
    project, membership = project_for(request, slug, manage=True)
    scorer = _asked_for(request, project)
    context: dict[str, Any] = {
        "project": project,
        "membership": membership,
        "scorer": scorer,
        "scorers": [(choice, name_of(choice)) for choice in scorers(project)[:SCORERS_SHOWN]],
        "training": _training(project),
    }
    if scorer is not None:
        context |= _live(scorer) | _figures(request, project, scorer)
    return render(request, "rewards/rewards.html", context)


@login_required
@never_cache
@require_GET
def rewards_live(request: MemberRequest, slug: str) -> HttpResponse:
    """The scoring under way, until there is none."""
    project, _membership = project_for(request, slug, manage=True)
    scorer = _asked_for(request, project)
    if scorer is None:
        raise Http404
    context = {**_live(scorer), "project": project, "scorer": scorer}
    response = render(request, "rewards/_live.html", context)
    return response if context["is_busy"] else HttpResponseStopPolling(response.content)


@login_required
@require_POST
def start_scoring(request: MemberRequest, slug: str) -> HttpResponse:
    """Score the completions that the scorer has not scored."""
    project, _membership = project_for(request, slug, manage=True)
    scorer = _asked_for(request, project)
    if scorer is None:
        raise Http404
    try:
        scoring.start_scoring(scorer=scorer)
    except Refused as error:
        messages.info(request, str(error))
    return _back(project, scorer)


@login_required
@require_POST
def cancel_scoring(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Ask a scoring job to stop."""
    project, _membership = project_for(request, slug, manage=True)
    job = get_object_or_404(ScoringJob.objects.select_related("round"), project=project, pk=pk)
    request_cancel(job=job)
    messages.info(request, _("Asked to stop. Rewards so far are kept."))
    return _back(project, job.round)


@login_required
@require_POST
def train_reward_model(request: MemberRequest, slug: str) -> HttpResponse:
    """Queue a reward round on a round's pairs, or on all that there are now."""
    project, _membership = project_for(request, slug, manage=True)
    wished = request.POST.get("pairs", "")
    snapshot = None
    if wished:
        snapshot = get_object_or_404(Snapshot, project=project, sha256=wished)
    start = None
    if request.POST.get("start"):
        start = get_object_or_404(_starts(project), slug=request.POST["start"])
    try:
        made = start_reward_round(
            project=project, snapshot=snapshot, start=start, requested_by=request.user
        )
    except Refused as error:
        messages.error(request, str(error))
        return redirect("rewards", project.slug)
    return redirect(made)


@login_required
@never_cache
@require_GET
def rewards_csv(request: MemberRequest, slug: str) -> HttpResponse:
    """A line a settled pair, the greatest disagreement first."""
    project, _membership = project_for(request, slug, manage=True)
    scorer = _asked_for(request, project)
    if scorer is None:
        raise Http404
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"{project.slug}-rewards-round-{scorer.number}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    lines = csv.writer(response)
    head = ["pair", "comparison", "prompt", "split", "chosen_reward", "rejected_reward", "margin"]
    lines.writerow([*head, "chance_of_chosen", "agreement", "chosen_by", "rejected_by"])
    pairs = _pairs(request, project, scorer).values_list(
        "pk",
        "comparison",
        "comparison__prompt",
        "comparison__prompt__is_held_out",
        "is_trained_on",
        "chosen_reward",
        "rejected_reward",
        "agreement",
        "chosen__policy__slug",
        "rejected__policy__slug",
    )
    for pk, comparison, prompt, held_out, trained, ours, theirs, agreed, *slugs in pairs:
        split = "held_out" if held_out else "trained_on" if trained else "neither"
        numbers = (ours, theirs, ours - theirs, chance(ours - theirs), agreed)
        lines.writerow(
            [pk, comparison, prompt, split]
            + [f"{number:.6g}" for number in numbers]
            + [harmless(heading) for heading in slugs]
        )
    return response


@login_required
@never_cache
@require_GET
def rewards_json(request: MemberRequest, slug: str) -> JsonResponse:
    """The page's figures."""
    project, _membership = project_for(request, slug, manage=True)
    scorer = _asked_for(request, project)
    if scorer is None:
        raise Http404
    figures = agreement(scored_pairs.told(project, scorer))
    champion, opinions = judging.opinions(project, scorer)
    return JsonResponse(
        {
            "project": project.slug,
            "round": scorer.number,
            "kind": "reward_model" if scorer.kind == Round.Kind.REWARD else "implicit",
            "scored": Score.objects.filter(round=scorer).count(),
            "confidence": 0.95,
            "agreement": {
                "all": _plain(figures.everywhere),
                "held_out": _plain(figures.held_out),
                "trained_on": _plain(figures.trained_on),
                "neither": _plain(figures.neither),
                "tags": {tag: _plain(share) for tag, share in figures.tags},
            },
            "calibration": {
                "held_out": figures.steps_held_out,
                "steps": [
                    {
                        "from": step.low,
                        "to": step.high,
                        "expected": step.expected,
                        **_plain(step.share),
                    }
                    for step in figures.steps
                ],
                "log_loss": figures.surprise,
                "error": figures.off_by,
            },
            "side_by_side": [
                {"round": row.scorer.number, "name": row.name, **_plain(row.share)}
                for row in _beside(project, scorer)
            ],
            "expected_wins": {
                "against": champion.slug if champion else None,
                "policies": [
                    {
                        "policy": row.policy.slug,
                        "value": row.value,
                        "low": row.low,
                        "high": row.high,
                        "prompts": row.prompts,
                    }
                    for row in opinions
                ],
            },
        }
    )


@login_required
@require_GET
def reward_adapter(request: MemberRequest, slug: str, number: int) -> StreamingHttpResponse:
    """The reward model's adapter with its head, as a tar that peft loads once it is unpacked."""
    project, _membership = project_for(request, slug, manage=True)
    round_ = get_object_or_404(project.rounds.exclude(reward_adapter=""), number=number)
    try:
        members = members_of(local_adapter(round_.reward_adapter), f"{slug}-reward-{number}", {})
    except (ArtifactError, FileNotFoundError) as error:
        raise Http404(_("The files are no longer in the data folder.")) from error
    return tar_response(members, f"{slug}-reward-{number}")


# --- the page ---


def _asked_for(request: MemberRequest, project: Project) -> Round | None:
    """The scorer of ``by``, in the address or the form; without it, the usual one."""
    wished = request.POST.get("by") or request.GET.get("by") or ""
    if not wished:
        return usual(project)
    number = int(wished) if wished.isdecimal() else 0
    return get_object_or_404(scorers(project), number=number)


def _back(project: Project, scorer: Round) -> HttpResponse:
    response = redirect("rewards", project.slug)
    response["Location"] += f"?by={scorer.number}"
    return response


def _pairs(request: MemberRequest, project: Project, scorer: Round) -> Any:
    pairs = scored_pairs.only(scored_pairs.settled(project, scorer), request.GET.get("where", ""))
    return pairs.order_by("-ahead", "pk")


def _live(scorer: Round) -> dict[str, Any]:
    job = ScoringJob.objects.filter(round=scorer).first()
    return {
        "job": job,
        "is_busy": job is not None and not job.is_finished,
        "percent_done": percent(job.stored, job.total_steps) if job else 0,
        "scored": Score.objects.filter(round=scorer).count(),
        "missing": scoring.missing(scorer).order_by().count(),
    }


def _figures(request: MemberRequest, project: Project, scorer: Round) -> dict[str, Any]:
    figures = agreement(scored_pairs.told(project, scorer))
    pairs = _pairs(request, project, scorer).select_related(
        "comparison__prompt", "chosen__policy", "rejected__policy"
    )
    page = Paginator(pairs, PAIRS_A_PAGE).get_page(request.GET.get("page"))
    shown = list(page)
    votes = scored_pairs.votes_on(shown)
    champion, opinions = judging.opinions(project, scorer)
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "name": name_of(scorer),
        "agreement": figures,
        "groups": _groups(figures),
        "chart": calibration_chart(figures),
        "steps": figures.steps,
        "beside": _beside(project, scorer),
        "page": page,
        "rows": [_row(pair, votes.get(pair.comparison_id)) for pair in shown],
        "where": request.GET.get("where", ""),
        "places": [
            ("", _("All")),
            ("held_out", _("Held out")),
            ("trained_on", _("Trained on")),
            ("neither", _("Neither")),
        ],
        "query": query.urlencode(),
        "champion": champion,
        "opinions": opinions,
    }


def _groups(figures: RewardAgreement) -> list[tuple[str, WinRate]]:
    named = [
        (_("Held-out pairs"), figures.held_out),
        (_("Pairs it was trained on"), figures.trained_on),
        (_("Pairs since then, or left out"), figures.neither),
    ]
    return [(name, share) for name, share in named if share.decided + share.undecided]


def _beside(project: Project, scorer: Round) -> list[scored_pairs.Beside]:
    other = scored_pairs.counterpart(scorer)
    return scored_pairs.side_by_side(project, [scorer, other] if other else [scorer])


def _row(pair: Any, votes: tuple[int, int] | None) -> SettledPairRow:
    return SettledPairRow(
        pair=pair,
        chosen=signed(pair.chosen_reward),
        rejected=signed(pair.rejected_reward),
        chance=in_percent(chance(-pair.ahead)),
        votes=None if pair.kind == PreferencePair.Kind.EDIT else votes,
    )


def signed(value: float) -> str:
    """A reward with its sign and a true minus: "+1.24"."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _starts(project: Project) -> Any:
    return project.policies.filter(kind=Policy.Kind.ADAPTER).exclude(state=Policy.State.RETIRED)


def _training(project: Project) -> dict[str, Any]:
    """What the form that trains a reward model offers."""
    at_hand = snapshot_at_hand(project)
    return {
        "at_hand": at_hand,
        "starts": _starts(project).order_by("-pk"),
        "unfinished": project.rounds.filter(state__in=Round.UNFINISHED).first(),
    }


def calibration_chart(figures: RewardAgreement) -> SafeString:
    """How often raters preferred what the scorer did, by how sure it was."""
    sentences = "; ".join(
        _("%(expected)s expected, %(share)s found")
        % {"expected": in_percent(step.expected), "share": in_percent(step.share.value)}
        for step in figures.steps
        if step.expected is not None
    )
    return estimate_chart(
        [
            Estimates(_("Raters"), "wins held-out", [_found(step) for step in figures.steps]),
            Estimates(
                _("Expected"), "wins everywhere", [_expected(step) for step in figures.steps]
            ),
        ],
        labels=[f"{100 * step.low:.0f}–{in_percent(step.high)}" for step in figures.steps],
        summary=_("How often raters preferred the answer with the higher reward: %(said)s.")
        % {"said": sentences or _("nothing yet")},
        y_words=in_percent,
        y_labels=[0, 0.25, 0.5, 0.75, 1],
    )


def _found(step: CalibrationStep) -> ChartPoint | None:
    if step.share.value is None or step.share.interval is None:
        return None
    label = ngettext(
        "%(share)s (%(interval)s) of %(count)s pair",
        "%(share)s (%(interval)s) of %(count)s pairs",
        step.share.decided,
    )
    values = {
        "share": in_percent(step.share.value),
        "interval": interval_in_percent(step.share),
        "count": grouped(step.share.decided),
    }
    return ChartPoint(step.share.value, *step.share.interval, label % values)


def _expected(step: CalibrationStep) -> ChartPoint | None:
    if step.expected is None:
        return None
    label = _("%(share)s expected") % {"share": in_percent(step.expected)}
    return ChartPoint(step.expected, step.expected, step.expected, label)


def _plain(share: WinRate) -> dict[str, Any]:
    low, high = share.interval or (None, None)
    return {
        "right": share.wins,
        "wrong": share.losses,
        "equal": share.undecided,
        "value": share.value,
        "low": low,
        "high": high,
    }
