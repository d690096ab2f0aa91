"""A chart is a file that every browser draws."""

from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.reporting.svg import svg
from llm_manager.lib.plots import plot

SPACE = "{http://www.w3.org/2000/svg}"


def test_a_chart_has_a_dot_for_each_point_and_a_line_for_each_name() -> None:
    lines = {"ours": [(30.0, 90.0), (60.0, 100.0)], "a < b": [(1000.0, 110.0)]}
    chart = plot("chat: tokens/s", lines, lambda value: f"{value:.0f}", unit="ms")
    root = ElementTree.fromstring(svg(chart, across="ITL p95, ms"))  # noqa: S314
    assert len(root.findall(f"{SPACE}circle")) == 3
    assert len(root.findall(f"{SPACE}polyline")) == 2
    texts = [each.text for each in root.iter(f"{SPACE}text")]
    assert {"chat: tokens/s", "ITL p95, ms", "ours", "a < b"} <= set(texts)
