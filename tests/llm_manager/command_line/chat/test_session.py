"""A conversation, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_manager.command_line.chat.conversation import ChatConversation
from llm_manager.command_line.chat.session import converse
from llm_manager.command_line.chat.slash_commands import ChatState
from llm_manager.command_line.exit_status import CommandFailed
from tests.llm_manager.command_line.chat.fakes import (
    FakeBackend,
    chunk,
    fails,
    says,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home of its own, for the history."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def talk(backend: FakeBackend, *lines: str | BaseException) -> ChatState:
    """Let a user type these lines and leave; return the conversation."""
    state = ChatState(ChatConversation(model="tiny"))
    given = iter((*lines, EOFError()))

    def read() -> str:
        line = next(given)
        if isinstance(line, BaseException):
            raise line
        return line

    converse(backend, state, read)
    return state


def contents(request: dict[str, object]) -> list[str]:
    messages = request["messages"]
    assert isinstance(messages, list)
    return [message["content"] for message in messages]


def test_each_question_has_the_conversation_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = FakeBackend(says("Hel", "lo"), says("Fine"))
    talk(backend, "Hi", "", "How are you?")
    assert contents(backend.requests[1]) == ["Hi", "Hello", "How are you?"]
    assert capsys.readouterr().out == "Hello\nFine\n"


def test_ctrl_c_stops_the_answer_and_keeps_what_has_come() -> None:
    backend = FakeBackend([chunk(content="Once"), KeyboardInterrupt()], says("Fine"))
    talk(backend, "Tell me", "And?")
    assert contents(backend.requests[1]) == ["Tell me", "Once", "And?"]
    assert backend.closed == 2


def test_ctrl_c_before_the_answer_takes_the_question_back() -> None:
    backend = FakeBackend([KeyboardInterrupt()], says("Fine"))
    talk(backend, "Tell me", "And?")
    assert contents(backend.requests[1]) == ["And?"]


def test_ctrl_c_at_the_prompt_says_how_to_leave(
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = FakeBackend(says("Fine"))
    talk(backend, KeyboardInterrupt(), "Hi")
    assert "Ctrl-D leaves." in capsys.readouterr().err
    assert len(backend.requests) == 1


def test_a_refused_question_is_said_and_forgotten(
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = FakeBackend(fails("Unknown parameter: 'bogus'."), says("Fine"))
    talk(backend, "/set bogus 1", "Hi", "/set bogus", "Hello")
    assert "Unknown parameter: 'bogus'." in capsys.readouterr().err
    assert backend.requests[0]["bogus"] == 1
    assert "bogus" not in backend.requests[1]
    assert contents(backend.requests[1]) == ["Hello"]


def test_regen_replaces_the_answer() -> None:
    backend = FakeBackend(says("One"), says("Two"))
    state = talk(backend, "Hi", "/regen")
    assert contents(backend.requests[1]) == ["Hi"]
    assert [each["content"] for each in state.conversation.messages] == ["Hi", "Two"]


@pytest.mark.parametrize("end", [CommandFailed("Busy."), KeyboardInterrupt()])
def test_a_regen_without_an_answer_keeps_the_one_before(end: BaseException) -> None:
    backend = FakeBackend(says("One"), [end], says("Fine"))
    talk(backend, "Hi", "/regen", "And?")
    assert contents(backend.requests[1]) == ["Hi"]
    assert contents(backend.requests[2]) == ["Hi", "One", "And?"]


def test_thoughts_go_back_with_the_answer() -> None:
    backend = FakeBackend([chunk(reasoning_content="Hm."), *says("Hi")])
    state = talk(backend, "Hello")
    assert state.conversation.messages[-1]["reasoning_content"] == "Hm."


def test_a_cut_answer_and_its_speed_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    backend = FakeBackend(says("A", "B", finish_reason="length"))
    talk(backend, "/set verbose", "Hi", "/bye")
    said = capsys.readouterr().err
    assert "cut at its largest length" in said
    assert "prompt 9 tokens (4 cached), answer 3 tokens" in said


def test_what_was_typed_is_for_its_owner_alone(home: Path) -> None:
    talk(FakeBackend())
    [file] = home.rglob("chat_history")
    assert file.stat().st_mode & 0o077 == 0
