"""The playground: a manager's prompt, answered by two policies side by side."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseStopPolling

from annotate.access import project_for
from annotate.views.requests import MemberRequest
from training.errors import Refused
from training.jobs.claims import request_cancel
from training.models import Tryout
from training.playground import tryouts
from training.playground.forms import AskForm

TRYOUTS_SHOWN = 8


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def playground(request: MemberRequest, slug: str) -> HttpResponse:
    """The form, and what was asked before."""
    project, membership = project_for(request, slug, manage=True)
    form = AskForm(request.POST if request.method == "POST" else None, project=project)
    if form.is_valid():
        try:
            made = tryouts.ask(
                project=project,
                asked_by=request.user,
                messages=form.messages,
                policies=(form.cleaned_data["first"], form.cleaned_data["second"]),
                blind=form.cleaned_data["blind"],
            )
        except Refused as error:
            form.add_error(None, str(error))
        else:
            return redirect(made)
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "can_answer": tryouts.policies_that_answer(project).exists(),
        "tryouts": project.tryouts.select_related("asked_by")[:TRYOUTS_SHOWN],
    }
    return render(request, "playground/playground.html", context)


@login_required
@never_cache
@require_GET
def tryout(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Both answers, side by side, and the form for the next prompt."""
    shown, context = _found(request, slug, pk)
    asked = [answer.policy for answer in context["answers"]]
    if shown.is_blind:
        asked.sort(key=lambda policy: policy.pk)  # in their own order, or the form told the sides
    known = {
        "question": shown.question,
        "system": shown.system,
        "blind": shown.is_blind,
        "first": asked[0],
        "second": asked[1],
    }
    context["form"] = AskForm(initial=known, project=shown.project)
    return render(request, "playground/tryout.html", context)


@login_required
@never_cache
@require_GET
def tryout_live(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """The answers as far as they are, until both have ended."""
    _, context = _found(request, slug, pk)
    response = render(request, "playground/_live.html", context)
    return response if context["is_busy"] else HttpResponseStopPolling(response.content)


@login_required
@require_POST
def reveal_tryout(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Show who wrote what."""
    tryout, _ = _found(request, slug, pk)
    Tryout.objects.filter(pk=tryout.pk).update(is_blind=False)
    return redirect(tryout)


@login_required
@require_POST
def stop_tryout(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Ask both answers to stop where they are."""
    tryout, _ = _found(request, slug, pk)
    for answer in tryout.answers.all():
        request_cancel(job=answer)
    return redirect(tryout)


@login_required
@require_POST
def keep_tryout(request: MemberRequest, slug: str, pk: int) -> HttpResponse:
    """Send the prompt into the project."""
    tryout, _ = _found(request, slug, pk)
    stored = tryouts.keep_prompt(tryout=tryout)
    if not stored.new:
        messages.info(request, gettext("The project has this prompt already."))
    elif stored.held_out:
        messages.success(request, gettext("The prompt is in the project, held out from training."))
    else:
        messages.success(request, gettext("The prompt is in the project."))
    return redirect(tryout)


def _found(request: MemberRequest, slug: str, pk: int) -> tuple[Tryout, dict[str, Any]]:
    project, membership = project_for(request, slug, manage=True)
    tryout = get_object_or_404(Tryout, project=project, pk=pk)
    answers = list(tryout.answers.select_related("policy"))
    return tryout, {
        "project": project,
        "membership": membership,
        "tryout": tryout,
        "answers": answers,
        "is_named": not tryout.is_blind,
        "is_busy": any(not answer.is_finished for answer in answers),
    }
