import math
import re

import pytest
from lxml import etree

from training.views.rounds.charts import (
    ChartLine,
    ChartPoint,
    Estimates,
    Point,
    estimate_chart,
    line_chart,
    thinned,
)


def draw(*points, name="Training pairs"):
    line = ChartLine(name, "train", [Point(x, y, f"Step {x}: {y} · {name}") for x, y in points])
    return line_chart([line], summary=f"Loss of {name}", y_words="{:.2f}".format, x_range=(0, 10))


def nodes(svg, name):
    return [node for node in etree.fromstring(svg).iter() if str(node.tag).endswith(f"}}{name}")]


def test_nothing_that_the_content_security_policy_forbids():
    svg = draw((0, 0.69), (5, 0.5), (10, 0.4))
    assert not re.search(r"<style|<script|\bstyle=|\bon\w+=|href", svg)


def test_no_id_that_two_charts_on_one_page_would_share():
    assert " id=" not in draw((0, 0.69), (5, 0.5))


def test_every_value_shows_on_hover():
    svg = draw((0, 0.69), (5, 0.5))
    titles = [dot[0].text for dot in nodes(svg, "circle")]
    assert titles == ["Step 0: 0.69 · Training pairs", "Step 5: 0.5 · Training pairs"]


def test_the_summary_is_read_aloud():
    root = etree.fromstring(draw((0, 0.69), (5, 0.5)))
    assert (root.get("role"), root.get("aria-label")) == ("img", "Loss of Training pairs")


def test_names_are_escaped():
    svg = draw((0, 0.69), (5, 0.5), name="<img src=x>&")
    assert "<img" not in svg
    assert "&lt;img src=x&gt;&amp;" in svg


def test_values_that_are_no_numbers_are_left_out():
    svg = draw((0, 0.69), (2, math.nan), (4, math.inf), (6, 0.4))
    assert len(nodes(svg, "circle")) == 2


@pytest.mark.parametrize("points", [[], [(0, math.nan)]])
def test_no_chart_without_a_value(points):
    assert draw(*points) == ""


def test_one_value_is_drawn():
    assert len(nodes(draw((0, 0.69)), "circle")) == 1


def test_an_estimate_shows_its_interval_and_a_gap_stays_a_gap():
    row = Estimates("Held-out", "wins", [None, ChartPoint(0.6, 0.5, 0.7, "Round 2: 60 %")])
    svg = estimate_chart(
        [row],
        labels=["Round 1", "Round 2"],
        summary="Wins",
        y_words="{:.0%}".format,
        y_labels=[0, 0.5, 1],
    )
    assert [dot[0].text for dot in nodes(svg, "circle")] == ["Round 2: 60 %"]
    intervals = [node for node in nodes(svg, "g") if node.get("class") == "ci"]
    assert len(intervals) == 1


def test_thinning_keeps_the_last_point():
    points = [Point(x, 0, "") for x in range(1000)]
    shown = thinned(points, 100)
    assert len(shown) == 100
    assert shown[-1] is points[-1]
