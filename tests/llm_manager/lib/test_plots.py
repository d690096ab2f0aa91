"""The charts of context tests."""

from __future__ import annotations

from llm_manager.lib.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, plot


def says(value: float) -> str:
    return f"{value:g} MiB"


def test_points_lie_inside_of_the_chart_with_the_larger_ones_higher() -> None:
    found = plot("Memory", {"f16": [(8192, 300), (512, 100)]}, says)
    small, large = found.lines[0].dots
    assert LEFT <= small.x < large.x <= WIDTH - RIGHT
    assert TOP <= large.y < small.y <= HEIGHT - BOTTOM
    assert found.lines[0].path == f"{small.x},{small.y} {large.x},{large.y}"


def test_a_point_says_what_was_measured_there() -> None:
    found = plot("Memory", {"q8_0": [(8192, 300)]}, says)
    assert found.lines[0].dots[0].text == "q8_0, 8,192 tokens: 300 MiB"


def test_axes_begin_at_0_and_have_a_few_round_labels() -> None:
    found = plot("Memory", {"f16": [(8192, 290)]}, says)
    assert [label for _, label in found.x_ticks] == ["0", "2k", "4k", "6k", "8k"]
    labels = [label for _, label in found.y_ticks]
    assert labels == ["0 MiB", "100 MiB", "200 MiB", "300 MiB"]
    assert found.y_ticks[0][0] == HEIGHT - BOTTOM


def test_labels_may_be_multiples_of_a_unit() -> None:
    found = plot("Memory", {"f16": [(512, 290 * 1024)]}, says, step=1024)
    assert [label for _, label in found.y_ticks][-1] == f"{300 * 1024:g} MiB"


def test_every_line_has_a_colour_of_its_own() -> None:
    found = plot("Memory", {"f16": [(1, 1)], "q8_0": [(1, 1)]}, says)
    assert [line.number for line in found.lines] == [0, 1]


def test_a_chart_without_points_is_drawn() -> None:
    assert plot("Memory", {"f16": []}, says).lines[0].path == ""
