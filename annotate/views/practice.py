"""Practice: a card as it will be, an answer, and the feedback to it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from annotate.access import project_for
from annotate.models import Membership, PracticeAnswer, PracticeItem
from annotate.onboarding.steps import next_step
from annotate.quality import practice as practising
from annotate.queue.verdicts import CHOICES, outcome_of
from annotate.views.exhibits import exhibit
from annotate.views.requests import MemberRequest

SIDES = {"a": "left", "b": "right"}
"""Where A and B stand: in practice nothing is swapped."""

ANSWERS = [choice for choice in CHOICES if choice != "skip"]


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def practice(request: MemberRequest, slug: str) -> HttpResponse:
    """The next item; with ``?told=N`` the N-th one, answered; at the end, how it went."""
    project, membership = project_for(request, slug)
    if membership.pk is None:  # a superuser who is no member: nothing to keep answers with
        return redirect("comparisons", project.slug)
    progress = practising.practice_of(membership)
    if not progress.items:
        return redirect(next_step(membership) or reverse("rate", args=[project.slug]))
    if request.method == "POST":
        return _answer(request, membership, progress)
    answered = request.GET.get("told", "")
    if answered.isdecimal() and 0 < int(answered) <= len(progress.items):
        item = progress.items[int(answered) - 1]
        if item.pk in progress.answers:
            return _show(request, membership, progress, item, progress.answers[item.pk])
    if progress.item is not None:
        return _show(request, membership, progress, progress.item)
    onwards = next_step(membership) if progress.is_passed else None
    context = {
        "project": project,
        "membership": membership,
        "practice": progress,
        "onwards": onwards,
    }
    return render(request, "quality/practice_done.html", context)


def _answer(
    request: MemberRequest, membership: Membership, progress: practising.Practice
) -> HttpResponse:
    number = request.POST.get("item", "")
    item = get_object_or_404(
        PracticeItem,
        pk=number if number.isdecimal() else 0,
        project=membership.project,
        retired_at=None,
    )
    choice = request.POST.get("choice")
    if choice not in ANSWERS:
        return _show(request, membership, progress, item, status=422)
    outcome = outcome_of(choice, swapped=False)
    practising.answer(membership=membership, item=item, outcome=outcome)
    place = [practice_item.pk for practice_item in progress.items].index(item.pk) + 1
    address = reverse("practice", args=[membership.project.slug])
    return redirect(f"{address}?told={place}")


def _show(
    request: MemberRequest,
    membership: Membership,
    progress: practising.Practice,
    item: PracticeItem,
    answer: PracticeAnswer | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        **exhibit(request, membership.project, item.comparison),
        "membership": membership,
        "practice": progress,
        "item": item,
        "answer": answer,
        "number": [practice_item.pk for practice_item in progress.items].index(item.pk) + 1,
        "of": len(progress.items),
        "foot": "quality/_practice_feedback.html" if answer else "quality/_practice_bar.html",
    }
    if answer is not None:
        context["expected"] = [SIDES.get(outcome, outcome) for outcome in item.expected]
        context["chosen"] = SIDES.get(answer.outcome, answer.outcome)
    return render(request, "quality/practice.html", context, status=status)


@login_required
@require_POST
def practise_again(request: MemberRequest, slug: str) -> HttpResponse:
    """Once more from the beginning."""
    project, membership = project_for(request, slug)
    if membership.pk is not None:
        practising.again(membership=membership)
    return redirect("practice", project.slug)
