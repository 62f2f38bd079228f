"""The rating card shown where nothing is judged: in previews, in practice, to managers."""

from __future__ import annotations

import uuid
from typing import Any

from django.utils.safestring import mark_safe

from annotate.models import Comparison, Judgement, Project
from annotate.rendering import render as to_safe_html

SAMPLE = {
    "question": "How long does it take light from the Sun to reach the Earth?",
    "a": "About **eight minutes and twenty seconds**: the Sun is some 150 million kilometres away.",
    "b": "Light is very fast, so it arrives *at once*. Nobody could ever notice the difference.",
}


def exhibit(
    *, project: Project, comparison: Comparison | None, swapped: bool = False
) -> dict[str, Any]:
    """What ``annotate/_card.html`` needs; two sample answers where there is no comparison."""
    if comparison is None:
        left, right = to_safe_html(SAMPLE["a"]), to_safe_html(SAMPLE["b"])
        messages = [{"role": "user", "content": SAMPLE["question"]}]
    else:
        sides = [comparison.a, comparison.b]
        if swapped:
            sides.reverse()
        # Completion.html was made safe when it was stored.
        left, right = (mark_safe(one.html) for one in sides)  # noqa: S308
        messages = comparison.prompt.messages
    return {
        "project": project,
        "judgement": Judgement(code=uuid.uuid4(), swapped=swapped),
        "messages": [
            {"role": message["role"], "html": to_safe_html(message["content"])}
            for message in messages
        ],
        "left_html": left,
        "right_html": right,
        "question": project.question,
        "options": project,
        "lease_seconds": 60 * (project.lease_minutes or 1),
        "notice": None,
        "today": 0,
        "can_undo": False,
        "errors": {},
        "kept": {},
    }


def newest_comparison(project: Project) -> Comparison | None:
    """A real comparison of the project for a preview."""
    return (
        Comparison.objects.filter(project=project, purpose=Comparison.Purpose.NORMAL)
        .select_related("prompt", "a", "b")
        .order_by("-pk")
        .first()
    )
