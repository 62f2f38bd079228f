"""What a card's template is given, and the card as the answer to a script."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

from django.http import JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from annotate.content.completions import safe_html
from annotate.content.prompts import safe_messages
from annotate.models import Judgement, Project
from annotate.queue import history
from annotate.queue.empty_queue import decided_today, why_empty
from annotate.queue.verdicts import (
    NO_DETAILS,
    VerdictDetails,
    Words,
    choice_of,
    details_in,
    options_of,
)
from annotate.views.requests import MemberRequest


def card_context(
    request: MemberRequest,
    project: Project,
    judgement: Judgement | None,
    *,
    notice: Words | None = None,
    errors: dict[str, Words] | None = None,
    choice: str = "",
    details: VerdictDetails | None = None,
    today: int | None = None,
    can_undo: bool | None = None,
) -> dict[str, Any]:
    """Everything that ``rating/_card.html`` shows; without a judgement, why there is none.

    ``details`` is what the form was sent with; a reopened card has what its former verdict held.
    ``today`` and ``can_undo`` are looked up where the caller does not know them.
    """
    rater = request.user
    context: dict[str, Any] = {
        "project": project,
        "judgement": judgement,
        "question": question_of(project),
        "notice": notice,
        "errors": errors or {},
        "today": decided_today(project=project, rater=rater) if today is None else today,
        "can_undo": (
            history.can_undo(project=project, rater=rater) if can_undo is None else can_undo
        ),
        "options": options_of(project),
        "lease_seconds": project.lease_minutes * 60,
        "empty": None if judgement else why_empty(project=project, rater=rater),
    }
    if judgement is None:
        return context
    comparison, former = judgement.comparison, judgement.replaces
    sides = [comparison.a, comparison.b]
    if judgement.swapped:
        sides.reverse()
    context["left_html"], context["right_html"] = map(safe_html, sides)
    context["messages"] = safe_messages(comparison.prompt)
    if details is None and former is not None:
        details = details_in(former)
        choice = choice_of(former.outcome or "", swapped=former.swapped)
    context["kept"] = {"choice": choice, **dataclasses.asdict(details or NO_DETAILS)}
    context["reopened"] = former is not None
    if context["options"].editing_on:
        # The answers as they were written, for the field in which one is edited.
        context["left_source"], context["right_source"] = (completion.text for completion in sides)
    return context


def question_of(project: Project) -> str:
    """What the card asks. The usual question is asked in the reader's language."""
    usual: str = Project._meta.get_field("question").get_default()
    return _("Which response is better?") if project.question == usual else project.question


def as_json(
    request: MemberRequest,
    context: dict[str, Any],
    *,
    status: str,
    http_status: int = 200,
    with_card: bool = True,
) -> JsonResponse:
    """The answer to a script that asked with ``X-Whetstone: card``.

    ``with_card=False`` sends no fragment: the one that is on the screen stays.
    """
    judgement: Judgement | None = context["judgement"]
    code: UUID | None = judgement.code if judgement is not None else None
    card = render_to_string("rating/_card.html", context, request) if with_card else None
    return JsonResponse(
        {
            "status": status,
            "notice": context["notice"],
            "errors": context["errors"],
            "today": context["today"],
            "can_undo": context["can_undo"],
            "card": card,
            "code": code if with_card else None,
            "empty": with_card and judgement is None,
        },
        status=http_status,
    )
