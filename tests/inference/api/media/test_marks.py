"""Marks in the place of images."""

from __future__ import annotations

import pytest

from inference.api.errors import BadRequest
from inference.api.media.marks import MediaMarks
from inference.api.media.parts import AudioPart, image_part


def test_images_are_in_the_order_of_the_prompt() -> None:
    marks = MediaMarks()
    first, second = marks.add(image_part("1"), "a"), marks.add(image_part("2"), "b")

    found = marks.of_prompt(f"x {second} y {first}", rate=0)

    assert found.text == f"x {found.image_mark} y {found.image_mark}"
    assert found.sound_mark == ""
    assert [each.path for each in found.parts] == ["b", "a"]


def test_a_sound_has_a_mark_of_its_own() -> None:
    marks = MediaMarks()
    sound = AudioPart.parse(
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    )
    first, second = marks.add(sound, "a"), marks.add(image_part("1"), "b")

    found = marks.of_prompt(f"{first}{second}", rate=24_000)

    assert found.text == found.sound_mark + found.image_mark
    assert found.sound_mark != found.image_mark
    assert [each.rate for each in found.parts] == [24_000] * 2


@pytest.mark.parametrize("times", [0, 2])
def test_an_image_must_be_shown_once(times: int) -> None:
    marks = MediaMarks()
    mark = marks.add(image_part("1"), "messages[0].content[0]")

    with pytest.raises(BadRequest, match=r"messages\[0\]\.content\[0\]"):
        marks.of_prompt(mark * times, rate=0)


def test_another_request_has_other_marks() -> None:
    part = image_part("1")

    assert MediaMarks().add(part, "a") != MediaMarks().add(part, "a")
