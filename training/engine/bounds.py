"""What values a job's settings may have: said once, beside each setting, for all who ask.

The engine checks jobs by it, the form of a round takes its limits from it, the docs their table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

KEY = "bounds"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """``low`` and ``high`` may be reached, ``above`` and ``below`` not. ``unit`` is what a number
    counts. ``cap``: a form offers no more, though the engine would take it."""

    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    unit: str = ""
    cap: float | None = None

    def hold(self, value: float) -> bool:
        """Whether ``value`` is within."""
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"from {self.low:g} to {self.high:g}"
        if self.low is not None and self.below is not None:
            return f"from {self.low:g} to below {self.below:g}"
        sides = {"above": self.above, "at least": self.low, "below": self.below}
        sides["at most"] = self.high
        limits = ", ".join(f"{word} {side:g}" for word, side in sides.items() if side is not None)
        return f"{limits} {self.unit}".strip()


def bounded(default: Any, **sides: Any) -> Any:
    """A dataclass field with a default and the bounds of its values."""
    return dataclasses.field(default=default, metadata={KEY: Bounds(**sides)})


def bounds_within(value: Any, path: str = "") -> Iterator[tuple[str, Bounds, Any]]:
    """The bounded fields of a dataclass and of those in it: dotted name, bounds and value.

    ``value`` may be a class: then the values are the defaults, and only fields whose default is a
    dataclass are entered.
    """
    for field in dataclasses.fields(value):
        name = f"{path}{field.name}"
        inner = field.default if isinstance(value, type) else getattr(value, field.name)
        if KEY in field.metadata:
            yield name, field.metadata[KEY], inner
        elif dataclasses.is_dataclass(inner) and not isinstance(inner, type):
            yield from bounds_within(inner, f"{name}.")
