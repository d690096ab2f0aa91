"""Commands in a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llm_manager.command_line.chat.conversation import ChatConversation
from llm_manager.command_line.chat.slash_commands import (
    COMMANDS,
    ChatState,
    Leave,
    is_command,
    run_command,
)
from llm_manager.command_line.exit_status import CommandFailed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state() -> ChatState:
    return ChatState(ChatConversation(model="tiny"))


@pytest.mark.parametrize(
    ("line", "request_has"),
    [
        ("/set temperature 0.2", {"temperature": 0.2}),
        ("/set parameter top_k 40", {"top_k": 40}),
        ('/set stop ["a", "b"]', {"stop": ["a", "b"]}),
        ("/set reasoning_effort high", {"reasoning_effort": "high"}),
        ("/set think", {"reasoning_effort": "medium"}),
        ("/set nothink", {"reasoning_effort": "none"}),
    ],
)
def test_set_is_a_member_of_the_next_requests(
    state: ChatState, line: str, request_has: dict[str, object]
) -> None:
    run_command(state, line)
    assert request_has.items() <= state.conversation.request().items()
    [name] = request_has
    run_command(state, f"/set {name}")
    assert name not in state.conversation.request()


def test_the_system_message_stands_first(state: ChatState) -> None:
    run_command(state, '/set system "Be brief."')
    state.conversation.ask("Hi")
    assert state.conversation.request()["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n"])
def test_what_the_conversation_itself_decides_cannot_be_set(
    state: ChatState, name: str
) -> None:
    with pytest.raises(CommandFailed, match=f"/set cannot change '{name}'"):
        run_command(state, f"/set {name} 1")


def test_clear_forgets_messages_and_keeps_settings(state: ChatState) -> None:
    run_command(state, "/set seed 1")
    state.conversation.ask("Hi")
    run_command(state, "/clear")
    assert state.conversation.request() == {"seed": 1, "model": "tiny", "messages": []}


def test_a_saved_conversation_goes_on_where_it_was(
    state: ChatState, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    run_command(state, "/set system Be brief.")
    run_command(state, "/set seed 1")
    state.conversation.ask("Hi")
    state.conversation.answered("Hello", "Greeting.")
    assert run_command(state, f"/save {file}") == f"Saved in {file}."
    before = state.conversation.request()
    other = ChatState(ChatConversation(model="other"))
    said = run_command(other, f"/load {file}")
    assert other.conversation.request() == before
    assert said == "model tiny\nsystem Be brief.\nseed 1\n2 messages"


def test_what_is_no_saved_conversation_is_refused(
    state: ChatState, tmp_path: Path
) -> None:
    file = tmp_path / "talk.json"
    with pytest.raises(CommandFailed, match="No such file"):
        run_command(state, f"/load {file}")
    for text in ("not json", "[]", '{"model": "x", "messages": {}}', '{"mode": "x"}'):
        file.write_text(text)
        with pytest.raises(CommandFailed, match="is no saved conversation"):
            run_command(state, f"/load {file}")


def test_regen_asks_the_last_question_again(state: ChatState) -> None:
    with pytest.raises(CommandFailed, match="no question"):
        run_command(state, "/regen")
    state.conversation.ask("Hi")
    state.conversation.answered("Hello", "")
    run_command(state, "/regen")
    assert state.again
    assert [each["content"] for each in state.conversation.messages] == ["Hi"]


def test_an_image_goes_with_the_next_message(state: ChatState, tmp_path: Path) -> None:
    file = tmp_path / "cat.PNG"
    file.write_bytes(b"\x89PNG")
    said = run_command(state, f"/image {file}")
    assert said == "cat.PNG goes with the next message."
    state.conversation.ask("What is this?")
    state.conversation.answered("A cat.", "")
    state.conversation.ask("Sure?")

    first, _, last = state.conversation.request()["messages"]
    image = {"url": "data:image/png;base64,iVBORw=="}
    assert first["content"] == [
        {"type": "image_url", "image_url": image},
        {"type": "text", "text": "What is this?"},
    ]
    assert last["content"] == "Sure?"


def test_a_sound_goes_with_the_next_message(state: ChatState, tmp_path: Path) -> None:
    file = tmp_path / "bell.mp3"
    file.write_bytes(b"ID3")
    run_command(state, f"/sound {file}")
    state.conversation.ask("What rings?")

    (message,) = state.conversation.request()["messages"]
    assert message["content"] == [
        {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        {"type": "text", "text": "What rings?"},
    ]


def test_what_is_no_image_is_refused_by_name(state: ChatState, tmp_path: Path) -> None:
    for command in ("/image", "/sound"):
        with pytest.raises(CommandFailed, match="none of"):
            run_command(state, f"{command} {tmp_path / 'x.pdf'}")
    with pytest.raises(CommandFailed, match="No such file"):
        run_command(state, f"/image {tmp_path / 'x.png'}")


def test_help_lists_every_command(state: ChatState) -> None:
    said = run_command(state, "/?") or ""
    assert all(name in said for name in COMMANDS)


def test_an_unknown_command_is_said_and_a_path_is_a_prompt(state: ChatState) -> None:
    assert is_command("/clearr now")
    assert not is_command("/etc/passwd is what?")
    assert not is_command("what is /set?")
    with pytest.raises(CommandFailed, match="Unknown command: '/clearr'"):
        run_command(state, "/clearr now")


@pytest.mark.parametrize("word", ["/bye", "/exit"])
def test_bye_leaves(state: ChatState, word: str) -> None:
    with pytest.raises(Leave):
        run_command(state, word)


@pytest.mark.parametrize("line", ["/save", "/load", "/model"])
def test_a_command_without_its_word_says_so(state: ChatState, line: str) -> None:
    with pytest.raises(CommandFailed, match=f"{line} needs"):
        run_command(state, line)
