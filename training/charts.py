"""Charts as inline SVG that a strict Content-Security-Policy lets through.

pygal lays them out; its style sheet, its script and its ids are taken away, and our own
charts.css draws them by class in either theme. Values show on hover through <title>.
Knows nothing of rounds or policies.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import pygal
from django.utils.safestring import SafeString, mark_safe
from pygal.etree import etree
from pygal.style import Style

MOST_POINTS = 200
_NOT_ALLOWED = {"style", "script", "defs", "desc"}


@dataclasses.dataclass(frozen=True)
class Point:
    """One value; ``words`` are shown on hover, ``low`` and ``high`` are its interval."""

    x: float
    y: float
    words: str
    low: float | None = None
    high: float | None = None


@dataclasses.dataclass(frozen=True)
class Series:
    """A named line. ``look`` is the CSS class that charts.css draws it by."""

    name: str
    look: str
    points: Sequence[Point]


def chart(
    series: Sequence[Series],
    *,
    summary: str,
    y_words: Callable[[float], str],
    x_labels: Sequence[float] | None = None,
    x_words: Callable[[float], str] = "{:g}".format,
    x_range: tuple[float, float] | None = None,
    y_labels: Sequence[float] | None = None,
    y_range: tuple[float, float] | None = None,
    height: int = 220,
) -> SafeString:
    """An ``<svg>`` with one line a series; empty where there is no finite value.

    ``summary`` says in words what the chart shows, for those who do not see it.
    """
    finite = [
        dataclasses.replace(one, points=[p for p in one.points if math.isfinite(p.y)])
        for one in series
    ]
    finite = [one for one in finite if one.points]
    if not finite:
        return SafeString("")
    options: dict[str, Any] = {
        "x_labels": x_labels and list(x_labels),
        "xrange": x_range,
        "y_labels": y_labels and list(y_labels),
        "range": y_range,
    }
    drawing = pygal.XY(
        width=480,
        height=height,
        explicit_size=False,
        margin=8,
        show_legend=False,
        js=[],
        style=Style(label_font_size=12, major_label_font_size=12),
        truncate_label=-1,
        dots_size=5,
        min_scale=3,
        max_scale=5,
        x_value_formatter=x_words,
        value_formatter=y_words,
        **{name: value for name, value in options.items() if value is not None},
    )
    for one in finite:
        drawing.add(one.name, [_value(point) for point in one.points])
    root = drawing.render_tree()
    _clean(root)
    for index, one in enumerate(finite):
        _dress(root, index, one)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", summary)
    return mark_safe(etree.tostring(root, encoding="unicode"))  # noqa: S308 - escaped by lxml


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most ``most`` of the points, evenly, the last one always among them."""
    if len(points) <= most:
        return list(points)
    step = math.ceil(len(points) / most)
    return list(points[::-1][::step][::-1])


def _value(point: Point) -> dict[str, Any]:
    value: dict[str, Any] = {"value": (point.x, point.y)}
    if point.low is not None and point.high is not None:
        value["ci"] = {"low": point.low, "high": point.high}
    return value


def _clean(node: Any) -> None:
    """Take away everything that the policy forbids or that would repeat an id."""
    for child in list(node):
        if not isinstance(child.tag, str) or _name(child) in _NOT_ALLOWED | {"title"}:
            node.remove(child)
        else:
            _clean(child)
    for attribute in ("style", "id", "onclick", "onload"):
        node.attrib.pop(attribute, None)


def _dress(root: Any, index: int, series: Series) -> None:
    """Give the drawn series its look, and every dot its words."""
    for group in root.iter():
        classes = (group.get("class") or "").split()
        if f"serie-{index}" not in classes:
            continue
        group.set("class", f"series {series.look}")
        dots = [node for node in group.iter() if _name(node) == "circle"]
        for dot, point in zip(dots, series.points, strict=False):
            dot.set("class", "dot")
            etree.SubElement(dot, "title").text = point.words


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]
