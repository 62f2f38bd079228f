"""For managers: look through comparisons, and make practice and gold items of them."""

from __future__ import annotations

import json

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_GET, require_http_methods

from annotate.access import project_for
from annotate.forms.items import FORMS, FilterForm, item_form
from annotate.models import Comparison, GoldItem, Judgement, PracticeItem, Project, User
from annotate.quality.gold import make_gold_item, retire_gold_item
from annotate.quality.practice import make_practice_item, retire_practice_item
from annotate.views.exhibits import exhibit
from annotate.views.requests import MemberRequest

A_PAGE = 25
PRACTICE = Q(practice_item__isnull=False, practice_item__retired_at=None)


@login_required
@require_GET
def comparisons(request: MemberRequest, slug: str) -> HttpResponse:
    """The newest first; ``before`` is the number of the last one seen."""
    project, membership = project_for(request, slug, manage=True)
    form = FilterForm(request.GET)
    matches = _matching(project, form)
    before = request.GET.get("before", "")
    if before.isdecimal():
        matches = matches.filter(pk__lt=int(before))
    page = list(matches[: A_PAGE + 1])
    query = request.GET.copy()
    if len(page) > A_PAGE:
        query["before"] = str(page[A_PAGE - 1].pk)
    _mark(page)
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "page": page[:A_PAGE],
        "older": query.urlencode() if len(page) > A_PAGE else "",
        "is_filtered": any(form.cleaned_data.values()) if form.is_valid() else True,
        "practice_count": project.practice_items.filter(retired_at=None).count(),
        "gold_count": project.gold_items.filter(retired_at=None).count(),
    }
    return render(request, "content/comparisons.html", context)


def _matching(project: Project, form: FilterForm) -> QuerySet[Comparison]:
    matches = (
        Comparison.objects.filter(project=project)
        .exclude(purpose=Comparison.Purpose.GOLD)  # each stands in the list as its source
        .select_related("prompt", "a", "b")
        .order_by("-pk")
    )
    if not form.is_valid():
        return matches.none()
    wanted = form.cleaned_data
    for name in ("state", "result"):
        if wanted[name]:
            matches = matches.filter(**{name: wanted[name]})
    gold = Q(pk__in=GoldItem.objects.filter(project=project, retired_at=None).values("source"))
    if wanted["item"] == "practice":
        matches = matches.filter(PRACTICE)
    elif wanted["item"] == "gold":
        matches = matches.filter(gold)
    elif wanted["item"] == "none":
        matches = matches.exclude(PRACTICE).exclude(gold)
    if phrase := wanted["q"].strip():
        escaped = json.dumps(phrase)[1:-1]  # as SQLite stores it
        matches = matches.filter(
            Q(a__text__icontains=phrase)
            | Q(b__text__icontains=phrase)
            | Q(prompt__messages__icontains=phrase)
            | Q(prompt__messages__icontains=escaped)
        )
    return matches


def _mark(page: list[Comparison]) -> None:
    """Set for each whether it is in use as an item."""
    practice = set(
        PracticeItem.objects.filter(comparison__in=page, retired_at=None).values_list(
            "comparison", flat=True
        )
    )
    gold = set(
        GoldItem.objects.filter(source__in=page, retired_at=None).values_list("source", flat=True)
    )
    for comparison in page:
        comparison.is_practice = comparison.pk in practice  # type: ignore[attr-defined]
        comparison.is_gold = comparison.pk in gold  # type: ignore[attr-defined]


@login_required
@require_http_methods(["GET", "POST"])
def comparison(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """One of them as a card, A on the left, with what was judged and what it is used for."""
    project, membership = project_for(request, slug, manage=True)
    comparison = get_object_or_404(
        Comparison.objects.select_related("prompt", "a__policy", "b__policy").exclude(
            purpose=Comparison.Purpose.GOLD
        ),
        project=project,
        pk=pk,
    )
    practice = PracticeItem.objects.filter(comparison=comparison, retired_at=None).first()
    gold = GoldItem.objects.filter(source=comparison, retired_at=None).first()
    sent = request.POST.get("kind", "") if request.method == "POST" else ""
    items: dict[str, PracticeItem | GoldItem | None] = {"practice": practice, "gold": gold}
    forms = {
        kind: item_form(kind, request.POST if kind == sent else None, items[kind]) for kind in FORMS
    }
    if "retire" in request.POST:
        _retire(request.POST["retire"], practice, gold)
        messages.success(request, gettext("No longer used. Answers so far are kept."))
        return redirect("comparison", project.slug, comparison.pk)
    if sent in forms and forms[sent].is_valid():
        _make(sent, comparison, forms[sent].cleaned_data, request.user)
        saved = {
            "practice": gettext("Saved as a practice item."),
            "gold": gettext("Saved as a gold item."),
        }
        messages.success(request, saved[sent])
        return redirect("comparison", project.slug, comparison.pk)
    judgements = (
        Judgement.objects.standing()
        .filter(Q(comparison=comparison) | Q(comparison__gold_item__source=comparison))
        .select_related("rater", "comparison")
        .order_by("-decided_at")
    )
    context = {
        **exhibit(request, project, comparison),
        "membership": membership,
        "comparison": comparison,
        "practice": practice,
        "gold": gold,
        "practice_form": forms["practice"],
        "gold_form": forms["gold"],
        "judgements": judgements[:50],
        "foot": "content/_no_bar.html",
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "content/comparison.html", context, status=status)


def _make(kind: str, comparison: Comparison, cleaned: dict[str, str], by: User) -> None:
    expected = list(cleaned["expected"])
    if kind == "practice":
        make_practice_item(
            comparison=comparison, expected=expected, feedback=cleaned["feedback"], by=by
        )
    else:
        make_gold_item(comparison=comparison, expected=expected, by=by)


def _retire(kind: str, practice: PracticeItem | None, gold: GoldItem | None) -> None:
    if kind == "practice" and practice is not None:
        retire_practice_item(item=practice)
    elif kind == "gold" and gold is not None:
        retire_gold_item(item=gold)
