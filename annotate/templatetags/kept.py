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
def checked(entries: Any, name: str, value: object) -> SafeString:
    """`` checked`` where ``value`` was among what was entered under ``name``."""
    return mark_safe(" checked" if str(value) in _entered(entries, name) else "")  # noqa: S308


@register.filter
def entered(entries: Any, name: str) -> str:
    """The text that was entered under ``name``; "" for none."""
    return "".join(_entered(entries, name)[-1:])


@register.filter
def told(errors: Any, name: str) -> str:
    """What is wrong with the field ``name``, in words; "" for nothing."""
    return str(errors.get(name, "")) if isinstance(errors, Mapping) else ""


def _entered(entries: Any, name: str) -> list[str]:
    """A card's entries are a dict; fields that may come more than once hold several values."""
    if not isinstance(entries, Mapping):
        return []
    if name.startswith(CRITERION):
        entry = entries.get("criteria", {}).get(name.removeprefix(CRITERION))
    else:
        entry = entries.get(MANY.get(name, name))
    if entry is None:
        return []
    return [str(value) for value in entry] if isinstance(entry, list | tuple) else [str(entry)]
