"""Marks in the place of images."""

from __future__ import annotations

import pytest

from inference.api.errors import BadRequest
from inference.api.media.marks import MediaMarks
from inference.api.media.parts import image_part


def test_images_are_in_the_order_of_the_prompt() -> None:
    marks = MediaMarks()
    first, second = marks.add(image_part("1"), "a"), marks.add(image_part("2"), "b")

    found = marks.of_prompt(f"x {second} y {first}")

    assert found.text == f"x {found.mark} y {found.mark}"
    assert [each.path for each in found.parts] == ["b", "a"]


@pytest.mark.parametrize("times", [0, 2])
def test_an_image_must_be_shown_once(times: int) -> None:
    marks = MediaMarks()
    mark = marks.add(image_part("1"), "messages[0].content[0]")

    with pytest.raises(BadRequest, match=r"messages\[0\]\.content\[0\]"):
        marks.of_prompt(mark * times)


def test_another_request_has_other_marks() -> None:
    part = image_part("1")

    assert MediaMarks().add(part, "a") != MediaMarks().add(part, "a")
