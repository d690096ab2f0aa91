"""The header that names what a request asked and the server left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.api.left_out import REASONS, LeftOut


def header_of(*paths: str) -> str:
    left_out = LeftOut()
    left_out.add(*paths)
    return left_out.header()


def test_members_are_named_once_in_the_order_in_which_they_were_met() -> None:
    assert header_of() == ""
    assert (
        header_of("reasoning_effort", "reasoning.effort", "reasoning_effort")
        == "reasoning_effort, reasoning.effort"
    )


def test_a_member_without_a_reason_cannot_be_left_out() -> None:
    with pytest.raises(KeyError):
        header_of("messages")


def test_a_name_of_any_characters_makes_a_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(REASONS, "tools[…].…", "a test")

    assert header_of("tools[12].a,\r\nb: é") == "tools[12].a%2C%0D%0Ab%3A%20%C3%A9"


def test_names_without_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REASONS, "tools[…].…", "a test")

    header = header_of(*(f"tools[{i}].{'x' * 1000}" for i in range(10)))

    assert len(header) < 5000
    assert header.split(", ")[-1] == "+7"


def test_the_documentation_lists_each_member_that_may_be_left_out() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
    _, _, rest = page.partition("\n## What is left out\n")
    section, _, _ = rest.partition("\n## ")

    assert [name for name in REASONS if f"`{name}`" not in section] == []
