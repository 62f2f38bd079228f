"""The rating card shown where nothing is judged: in previews, in practice, to managers."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from annotate.models import Comparison, Completion, Judgement, Project, Prompt
from annotate.rendering.render import render
from annotate.views.rating.cards import card_context
from annotate.views.requests import MemberRequest

SAMPLE = {
    "question": _("How long does it take light from the Sun to reach the Earth?"),
    "a": _(
        "About **eight minutes and twenty seconds**: the Sun is some 150 million kilometres away."
    ),
    "b": _("Light is very fast, so it arrives *at once*. Nobody could ever notice the difference."),
}


def exhibit(
    request: MemberRequest,
    project: Project,
    comparison: Comparison | None,
) -> dict[str, Any]:
    """What ``rating/_card.html`` needs; two sample answers where there is no comparison.

    Its judgement is made up and is stored nowhere, so nothing that is sent for it counts. The
    prompt's messages are called ``turns`` here: these pages have Django's messages as well.
    A stands on the left, so that what a manager writes of A and B is true of what is seen.
    """
    judgement = Judgement(comparison=comparison or _sample(), swapped=False)
    context = card_context(request, project, judgement, today=0, can_undo=False)
    context["turns"] = context.pop("messages")
    return context


def _sample() -> Comparison:
    prompt = Prompt(messages=[{"role": "user", "content": str(SAMPLE["question"])}])
    a, b = (
        Completion(text=text, html=render(text)) for text in (str(SAMPLE["a"]), str(SAMPLE["b"]))
    )
    return Comparison(prompt=prompt, a=a, b=b)


def newest_comparison(project: Project) -> Comparison | None:
    """A real comparison of the project for a preview."""
    return (
        Comparison.objects.filter(project=project, purpose=Comparison.Purpose.NORMAL)
        .select_related("prompt", "a", "b")
        .order_by("-pk")
        .first()
    )
