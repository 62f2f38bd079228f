"""What a rater had entered before the page came back: for the fields of a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.http import QueryDict
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.simple_tag
def checked(kept: Any, name: str, value: object) -> SafeString:
    """`` checked`` where ``value`` was among what was entered under ``name``."""
    return mark_safe(" checked" if str(value) in _entered(kept, name) else "")  # noqa: S308


@register.filter
def entered(kept: Any, name: str) -> str:
    """The text that was entered under ``name``; "" for none."""
    return "".join(_entered(kept, name)[-1:])


@register.filter
def told(errors: Any, name: str) -> str:
    """What is wrong with the field ``name``, in words; "" for nothing."""
    return str(errors.get(name, "")) if isinstance(errors, Mapping) else ""


def _entered(kept: Any, name: str) -> list[str]:
    if isinstance(kept, QueryDict):
        return [str(value) for value in kept.getlist(name)]
    found = kept.get(name) if isinstance(kept, Mapping) else None
    if found is None:
        return []
    return [str(value) for value in found] if isinstance(found, list | tuple) else [str(found)]
