"""What differs between the two answers of a card, for the rater who holds it."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.html import escape
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotate.access import project_for
from annotate.models import Judgement
from annotate.rendering.diff import DiffLevel, difference
from annotate.views.requests import MemberRequest

FENCE = "```"


@login_required
@never_cache
@require_GET
def show_difference(request: MemberRequest, slug: str, code: UUID) -> JsonResponse:
    """Both answers as HTML with their differences marked, on the sides where they stand."""
    project, _membership = project_for(request, slug)
    held = Judgement.objects.filter(
        rater=request.user,
        comparison__project=project,
        decided_at=None,
        released_at=None,
        retracted_at=None,
    )
    judgement = get_object_or_404(held.select_related("comparison__a", "comparison__b"), code=code)
    texts = [judgement.comparison.a.text, judgement.comparison.b.text]
    if judgement.swapped:
        texts.reverse()
    marked = difference(*texts)
    is_code = any(FENCE in text for text in texts)
    return JsonResponse(
        {side: _framed(getattr(marked, side), is_code, marked.level) for side in ("left", "right")}
    )


def _framed(html: str, is_code: bool, level: DiffLevel) -> str:
    note = ""
    if level == "apart":
        note = _("Hardly anything is common to both: nothing is marked.")
    elif level == "all":
        note = _("Too long to compare: nothing is marked.")
    shown_note = f'<p class="quiet small">{escape(note)}</p>' if note else ""
    return f'{shown_note}<div class="difference{" code" if is_code else ""}">{html}</div>'
