"""Answers as they are printed and measured."""

from __future__ import annotations

import pytest

from llm_manager.command_line.chat.answer import AnswerPrinter, PrintedAnswer
from tests.llm_manager.command_line.chat.fakes import USAGE, chunk

CHUNKS = [
    chunk(reasoning_content="Hm."),
    chunk(content="A\x1b[2J"),
    chunk(content="B\n"),
    chunk("stop"),
    {"choices": [], "usage": USAGE},
]


def printed(*, is_terminal: bool) -> tuple[str, PrintedAnswer]:
    pieces: list[str] = []
    answer = PrintedAnswer()
    AnswerPrinter(is_terminal=is_terminal, write=pieces.append).print(CHUNKS, answer)
    return "".join(pieces), answer


def test_thoughts_are_dim_and_apart_on_a_terminal() -> None:
    text, answer = printed(is_terminal=True)
    assert text == "\x1b[2mHm.\x1b[0m\n\nA\\x1b[2JB\n"
    assert (answer.reasoning, answer.content) == ("Hm.", "A\x1b[2JB\n")
    assert answer.finish_reason == "stop"


def test_a_pipe_gets_the_content_alone_and_as_it_is() -> None:
    assert printed(is_terminal=False)[0] == "A\x1b[2JB\n"


def test_speed_counts_from_the_first_token() -> None:
    answer = PrintedAnswer(started=0.0, usage=USAGE, first_at=0.5, last_at=1.5)
    assert answer.tokens_per_second == pytest.approx(2.0)
    assert answer.summary() == (
        "prompt 9 tokens (4 cached), answer 3 tokens, first after 0.50 s, 2.0 tokens/s"
    )


def test_what_was_not_measured_is_not_said() -> None:
    assert PrintedAnswer().summary() == ""
    assert (
        PrintedAnswer(first_at=1.0, last_at=1.0, usage=USAGE).tokens_per_second is None
    )
