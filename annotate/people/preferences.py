"""A rater's own settings: which key does what, the size of text, the appearance.

Kept as JSON in ``User.preferences``. What is stored was checked when it was saved, and is
read with a default beside every name, so an older or a strange row never breaks a page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import User

Profile = Literal["standard", "arrows", "own", "off"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
TextSize = Literal["small", "normal", "large", "larger"]
TEXT_SIZES: tuple[TextSize, ...] = get_args(TextSize)
Theme = Literal["auto", "light", "dark", "contrast"]
THEMES: tuple[Theme, ...] = get_args(Theme)

Keys = dict[str, list[str]]
"""Keys by action, at most two each; a key as ``KeyboardEvent.key``, letters in lower case."""

ACTIONS: dict[str, str | Promise] = {
    "left": gettext_lazy("A is better"),
    "right": gettext_lazy("B is better"),
    "tie": gettext_lazy("Tie: they are equally good"),
    "both_bad": gettext_lazy("Both are bad"),
    "skip": gettext_lazy("Skip: somebody else will judge this one"),
    "undo": gettext_lazy("Undo your last verdict"),
    "difference": gettext_lazy("Show what differs between A and B"),
    "guidelines": gettext_lazy("Guidelines"),
    "help": gettext_lazy("List of the keys"),
}
STANDARD: Keys = {
    "left": ["1", "a"],
    "right": ["2", "b"],
    "tie": ["0", "e"],
    "both_bad": ["x"],
    "skip": ["s"],
    "undo": ["u"],
    "difference": ["d"],
    "guidelines": ["g"],
    "help": ["?"],
}
ARROWS: Keys = STANDARD | {
    "left": ["ArrowLeft"],
    "right": ["ArrowRight"],
    "tie": ["ArrowUp"],
    "both_bad": ["ArrowDown"],
}
KEYS_AN_ACTION = 2
ARROW_SIGNS = {"ArrowLeft": "←", "ArrowRight": "→", "ArrowUp": "↑", "ArrowDown": "↓"}
NAMED = {
    *ARROW_SIGNS,
    *("Home", "End", "PageUp", "PageDown", "Insert"),
    *(f"F{number}" for number in range(1, 13)),
}
RESERVED = {
    *("Tab", "Enter", " ", "Space", "Spacebar", "Backspace", "Escape", "Esc"),
    *("Shift", "Control", "Ctrl", "Alt", "Meta", "AltGraph", "CapsLock"),
}
_BY_LOWER_NAME = {name.lower(): name for name in NAMED | RESERVED} | {
    "left": "ArrowLeft",
    "right": "ArrowRight",
    "up": "ArrowUp",
    "down": "ArrowDown",
    **{sign: name for name, sign in ARROW_SIGNS.items()},
}


class UnusableKey(ValueError):
    """A key that cannot be given to an action, with words for the person."""


def read_key(typed: str) -> str:
    """The key that somebody typed or pressed, as it is stored; "" for none.

    Raises UnusableKey for keys that the browser or the page needs, and for what is no key.
    """
    typed = typed if typed == " " else typed.strip()
    key = _BY_LOWER_NAME.get(typed.lower(), typed.lower())
    if key in RESERVED:
        raise UnusableKey(
            _("Tab, Enter, Space, Backspace and Esc keep their meaning; choose another key.")
        )
    if key in NAMED or not key:
        return key
    if len(key) != 1 or not key.isprintable() or key.isspace():
        raise UnusableKey(_("Type one character, or the name of a key such as F2 or ArrowLeft."))
    return key


def keys_of(user: User) -> Keys:
    """Keys by action as ``user`` has chosen them; every action is there, some without a key."""
    stored = user.preferences
    profile = stored.get("profile", "standard")
    if profile == "off":
        return {action: [] for action in ACTIONS}
    if profile == "arrows":
        return ARROWS
    if profile == "own" and isinstance(own := stored.get("keys"), Mapping):
        return {action: list(own.get(action, [])) for action in ACTIONS}
    return STANDARD


def as_bindings(keys: Keys) -> str:
    """What the page's script reads: the action by key, as JSON."""
    return json.dumps({key: action for action, action_keys in keys.items() for key in action_keys})


def cap(key: str) -> str:
    """How a key is written on a keycap."""
    return ARROW_SIGNS.get(key, key.upper() if len(key) == 1 else key)


def save_preferences(
    *, user: User, profile: Profile, keys: Keys, text: TextSize, theme: Theme
) -> None:
    """Store a person's settings; the own keys are kept while another profile is in use."""
    _refuse_double(keys)
    user.preferences = {"profile": profile, "keys": keys, "text": text, "theme": theme}
    user.save(update_fields=["preferences"])


def _refuse_double(keys: Keys) -> None:
    assigned = [key for action_keys in keys.values() for key in action_keys]
    if len(assigned) != len(set(assigned)):
        raise UnusableKey(_("One key cannot do two things."))


def preference(user: Any, name: str, allowed: tuple[str, ...]) -> str:
    """The stored value, if it is one of ``allowed``; otherwise ""."""
    value = getattr(user, "preferences", {}).get(name, "")
    return value if value in allowed else ""
