"""What the user types."""

from __future__ import annotations

import pytest

from llm_manager.command_line.chat.prompt import read_prompt


def read(*lines: str) -> tuple[str, list[str]]:
    """Return what is read, and the prompts that were shown."""
    given, prompts = list(lines), []

    def read_line(prompt: str) -> str:
        prompts.append(prompt)
        if not given:
            raise EOFError
        return given.pop(0)

    return read_prompt(read_line), prompts


def test_a_line_is_a_message() -> None:
    assert read("  hello ") == ("hello", [">>> "])


def test_a_message_of_several_lines_stands_between_quotes() -> None:
    text, prompts = read('"""one', "", '  two """')
    assert text == "one\n\n  two "
    assert prompts == [">>> ", "... ", "... "]


@pytest.mark.parametrize("lines", [('"""', "one", '"""'), ('"""one"""',)])
def test_the_quotes_may_stand_alone_or_in_one_line(lines: tuple[str, ...]) -> None:
    assert read(*lines)[0] == "one"


def test_the_end_in_the_middle_of_a_message_leaves() -> None:
    with pytest.raises(EOFError):
        read('"""one')
