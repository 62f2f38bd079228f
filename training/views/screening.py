"""Which completions raters are spared: the rules, and how many each has kept out."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from annotate.access import project_for
from annotate.content.completions import kept_out, screen_anew
from annotate.formatting import grouped
from annotate.forms.screening import MEANINGS, ScreeningForm
from annotate.models import ScreeningRule
from annotate.views.requests import MemberRequest
from training.rewards.pairing import pair_up


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def screening(request: MemberRequest, slug: str) -> HttpResponse:
    """The rules; saved, they hold for all that has met nothing yet."""
    project, membership = project_for(request, slug, manage=True)
    form = ScreeningForm(request.POST if request.method == "POST" else None, project=project)
    if request.method == "POST" and form.is_valid():
        form.save()
        changed = screen_anew(project=project)
        pair_up(project=project)
        message = ngettext(
            "Saved. %(count)s completion is treated differently now.",
            "Saved. %(count)s completions are treated differently now.",
            changed,
        )
        messages.success(request, message % {"count": grouped(changed)})
        return redirect("screening", project.slug)
    counts = kept_out(project)
    ticked = set(form["on"].value() or ())
    context = {
        "project": project,
        "membership": membership,
        "form": form,
        "rows": [
            (rule, MEANINGS[rule], counts.get(rule, 0), rule in ticked) for rule in ScreeningRule
        ],
    }
    return render(request, "sampling/screening.html", context)
