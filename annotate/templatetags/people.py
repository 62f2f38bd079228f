"""What templates say about a person's part in a project."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.translation import gettext as _

from annotate.models import Membership, Project
from annotate.onboarding import texts

register = template.Library()


@register.inclusion_tag("onboarding/_news.html", takes_context=True)
def guidelines_news(context: dict[str, Any], project: Project) -> dict[str, Any]:
    """A line about guidelines that have changed since the person read them; else nothing."""
    membership = Membership.objects.filter(project=project, user=context["user"]).first()
    version = texts.unread_texts(membership=membership) if membership else None
    return {
        "project": project,
        "version": version,
        "csrf_token": context.get("csrf_token"),
    }


@register.filter
def outcome_words(outcome: str) -> str:
    """A judgement's outcome as managers read it."""
    labels = {"a": "A", "b": "B", "tie": _("Tie"), "both_bad": _("Both bad"), "skip": _("Skipped")}
    return labels.get(outcome, outcome)


@register.filter
def height_of(count: int, most: int) -> int:
    """A bar's height in per cent of the highest, a little at least where there is something."""
    return max(4, round(100 * count / most)) if count and most else 0
