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
from django.utils.safestring import SafeString
from pygal.etree import etree
from pygal.style import Style

MOST_POINTS = 200
_NOT_ALLOWED = {"style", "script", "defs", "desc"}


@dataclasses.dataclass(frozen=True)
class Point:
    """One value of a line; ``words`` are shown on hover."""

    x: float
    y: float
    words: str


@dataclasses.dataclass(frozen=True)
class ChartPoint:
    """One value with its interval; ``words`` are shown on hover."""

    y: float
    low: float
    high: float
    words: str


@dataclasses.dataclass(frozen=True)
class ChartLine:
    """A named line. ``look`` is the CSS class that charts.css draws it by."""

    name: str
    look: str
    points: Sequence[Point]


@dataclasses.dataclass(frozen=True)
class Estimates:
    """A named row of estimates, one for each label of the chart, None where there is none."""

    name: str
    look: str
    estimates: Sequence[ChartPoint | None]


def line_chart(
    lines: Sequence[ChartLine],
    *,
    summary: str,
    y_words: Callable[[float], str],
    x_range: tuple[float, float],
) -> SafeString:
    """An ``<svg>`` of values over x; empty where there is no finite value.

    ``summary`` says in words what the chart shows, for those who do not see it.
    """
    drawn = []
    for line in lines:
        points = thinned([point for point in line.points if math.isfinite(point.y)])
        if points:
            drawn.append(dataclasses.replace(line, points=points))
    if not drawn:
        return SafeString("")
    drawing = pygal.XY(
        **_shape(width=480, height=220, y_words=y_words),
        xrange=x_range,
        min_scale=3,
        max_scale=5,
        x_value_formatter="{:g}".format,
    )
    for line in drawn:
        drawing.add(line.name, [(point.x, point.y) for point in line.points])
    return _finish(
        drawing, summary, [(line.look, [point.words for point in line.points]) for line in drawn]
    )


def estimate_chart(
    rows: Sequence[Estimates],
    *,
    labels: Sequence[str],
    summary: str,
    y_words: Callable[[float], str],
    y_labels: Sequence[float],
) -> SafeString:
    """An ``<svg>`` of estimates with their intervals, one column a label; empty without any."""
    drawn = [row for row in rows if any(row.estimates)]
    if not drawn:
        return SafeString("")
    drawing = pygal.Line(
        **_shape(width=600, height=270, y_words=y_words),
        x_labels=["", *labels, ""],  # air on both sides
        y_labels=list(y_labels),
        range=(min(y_labels), max(y_labels)),
    )
    for row in drawn:
        drawing.add(row.name, [None, *map(_with_interval, row.estimates), None])
    return _finish(
        drawing,
        summary,
        [(row.look, [point.words for point in row.estimates if point]) for row in drawn],
    )


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most ``most`` of the points, evenly, the last one always among them."""
    if len(points) <= most:
        return list(points)
    step = math.ceil(len(points) / most)
    return list(points[::-1][::step][::-1])


def _shape(*, width: int, height: int, y_words: Callable[[float], str]) -> dict[str, Any]:
    """What every chart has in common."""
    return {
        "width": width,
        "height": height,
        "explicit_size": False,
        "margin": 8,
        "show_legend": False,
        "js": [],
        "style": Style(label_font_size=12, major_label_font_size=12),
        "truncate_label": -1,
        "dots_size": 5,
        "value_formatter": y_words,
    }


def _with_interval(point: ChartPoint | None) -> dict[str, Any] | None:
    if point is None:
        return None
    return {"value": point.y, "ci": {"low": point.low, "high": point.high}}


def _finish(drawing: Any, summary: str, looks: Sequence[tuple[str, Sequence[str]]]) -> SafeString:
    root = drawing.render_tree()
    _clean(root)
    for index, (look, labels) in enumerate(looks):
        _dress(root, index, look, labels)
    root.set("class", "chart")
    root.set("role", "img")
    root.set("aria-label", summary)
    return SafeString(etree.tostring(root, encoding="unicode"))  # escaped by lxml


def _clean(node: Any) -> None:
    """Take away everything that the policy forbids or that would repeat an id."""
    for child in list(node):
        if not isinstance(child.tag, str) or _name(child) in _NOT_ALLOWED | {"title"}:
            node.remove(child)
        else:
            _clean(child)
    for attribute in ("style", "id", "onclick", "onload"):
        node.attrib.pop(attribute, None)


def _dress(root: Any, index: int, look: str, labels: Sequence[str]) -> None:
    """Give a drawn row its look, and every dot its words."""
    for group in root.iter():
        if f"serie-{index}" not in (group.get("class") or "").split():
            continue
        group.set("class", f"series {look}")
        dots = [node for node in group.iter() if _name(node) == "circle"]
        for dot, text in zip(dots, labels, strict=False):
            dot.set("class", "dot")
            etree.SubElement(dot, "title").text = text


def _name(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]
