"""What a rater had entered before the page came back: for the fields of a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.safestring import SafeString, mark_safe

CRITERION = "criterion."
MANY = {"tag": "tags", "flag": "flags"}
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
    """A card's ``kept`` is a dict; fields that may come more than once hold several values."""
    if not isinstance(kept, Mapping):
        return []
    if name.startswith(CRITERION):
        found = kept.get("criteria", {}).get(name.removeprefix(CRITERION))
    else:
        found = kept.get(MANY.get(name, name))
    if found is None:
        return []
    return [str(value) for value in found] if isinstance(found, list | tuple) else [str(found)]
