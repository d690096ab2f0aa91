"""Tables and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llm_manager.command_line.output import print_json, print_pairs, print_table

if TYPE_CHECKING:
    import pytest


def test_a_table_in_a_pipe_has_a_line_for_a_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "a" * 300
    print_table(("model", "size"), [("tiny", "5 B"), (long, None)], right="size")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.split() == ["MODEL", "SIZE"]
    assert second.split(maxsplit=1) == ["tiny", "5 B"]
    assert third.split() == [long, "-"]


def test_a_name_cannot_write_into_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("model",), [("\x1b]0;owned\x07[red]",)])
    print_pairs([("Model", "\x1b[2J"), ("Error", None)])
    printed = capsys.readouterr().out
    assert "\x1b]" not in printed
    assert "\x1b[2J" not in printed
    assert r"\x1b]0;owned\x07[red]" in printed
    assert "Error" not in printed


def test_json_keeps_every_letter(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"model": "modèle"})
    printed = capsys.readouterr().out
    assert "modèle" in printed
    assert json.loads(printed) == {"model": "modèle"}
