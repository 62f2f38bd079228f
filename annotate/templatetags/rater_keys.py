"""Keycaps and bindings of the person who looks at the page."""

from __future__ import annotations

from typing import Any

from django import template

from annotate.people.preferences import (
    TEXT_SIZES,
    THEMES,
    Keys,
    as_bindings,
    cap,
    keys_of,
    preference,
)

register = template.Library()
register.filter("cap", cap)
register.filter("as_bindings", as_bindings)


@register.filter
def own_keys(user: Any) -> Keys:
    """Keys by action; none for a visitor."""
    return keys_of(user) if getattr(user, "is_authenticated", False) else {}


@register.filter
def own_text_size(user: Any) -> str:
    """The chosen size of text, where it is not the usual one."""
    return preference(user, "text", TEXT_SIZES).replace("normal", "")


@register.filter
def own_theme(user: Any) -> str:
    """The chosen appearance, where it is not the system's."""
    return preference(user, "theme", THEMES).replace("auto", "")
