"""A stranger's text on a terminal."""

from __future__ import annotations

from llm_manager.lib.quoting import printable


def test_text_cannot_command_the_terminal() -> None:
    text = "a\tb\n\x1b]0;x\x07\u202e"
    assert printable(text) == "a\\tb\\n\\x1b]0;x\\x07\\u202e"
    assert printable(text, kept="\n\t") == "a\tb\n\\x1b]0;x\\x07\\u202e"
