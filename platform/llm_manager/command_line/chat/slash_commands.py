"""What a line that begins with `/` does in a conversation."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_manager.command_line.chat.conversation import (
    ChatConversation,
    is_settable,
    read_conversation,
)
from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.request_settings import value_of

if TYPE_CHECKING:
    from collections.abc import Callable


#: Media types of image files, by their suffix.
_IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
_NEXT = "{} goes with the next message."
#: Formats of sound files, by their suffix.
_SOUNDS = {".wav": "wav", ".mp3": "mp3"}


class Leave(Exception):
    """The user ends the conversation."""


@dataclass(slots=True)
class ChatState:
    """A conversation and how it is shown. ``again``: answer the last question again."""

    conversation: ChatConversation
    is_verbose: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """``run`` gets the state and the rest of the line; it returns what to print."""

    run: Callable[[ChatState, str], str | None]
    help: str


def is_command(line: str) -> bool:
    """Whether a line is a command, and not a prompt that begins with a path."""
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    return word.startswith("/") and "/" not in word[1:]


def run_command(state: ChatState, line: str) -> str | None:
    """Run a command; return what to print. Raises Leave and CommandFailed."""
    word, _, rest = line.strip().partition(" ")
    command = COMMANDS.get(word)
    if command is None:
        raise CommandFailed(f"Unknown command: '{word}'. /? lists the commands.")
    try:
        return command.run(state, rest.strip())
    except OSError as error:
        raise CommandFailed(f"{error.filename}: {error.strerror}.") from None


def _set(state: ChatState, rest: str) -> str | None:
    # `/set parameter temperature 0.2` is how Ollama has it.
    name, _, text = rest.removeprefix("parameter ").strip().partition(" ")
    text = text.strip().strip('"') if name == "system" else text.strip()
    match name:
        case "":
            return _show(state, "")
        case "verbose" | "quiet":
            state.is_verbose = name == "verbose"
        case "think":
            state.conversation.set("reasoning_effort", text or "medium")
        case "nothink":
            state.conversation.set("reasoning_effort", "none")
        case "system":
            state.conversation.set("system", text or None)
        case _ if not is_settable(name):
            raise CommandFailed(
                f"/set cannot change '{name}' here; /? lists the commands."
            )
        case _:
            value = value_of(text) if text else None
            state.conversation.set(name, value)
    return None


def _show(state: ChatState, _rest: str) -> str:
    conversation = state.conversation
    lines = [f"model {conversation.model}"]
    if conversation.system is not None:
        lines.append(f"system {conversation.system}")
    lines += [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in conversation.parameters.items()
    ]
    return "\n".join([*lines, f"{len(conversation.messages)} messages"])


def _clear(state: ChatState, _rest: str) -> str:
    state.conversation.messages.clear()
    state.conversation.images.clear()
    state.conversation.sounds.clear()
    return "The conversation is forgotten; its settings stay."


def _model(state: ChatState, rest: str) -> str:
    if not rest:
        raise CommandFailed("/model needs a model's name.")
    state.conversation.model = rest
    return f"{rest} answers from now on."


def _save(state: ChatState, rest: str) -> str:
    file = _file(rest, "/save")
    state.conversation.save(file)
    return f"Saved in {file}."


def _load(state: ChatState, rest: str) -> str:
    state.conversation = read_conversation(_file(rest, "/load"))
    return _show(state, "")


def _file(rest: str, command: str) -> Path:
    if not rest:
        raise CommandFailed(f"{command} needs the name of a file.")
    return Path(rest).expanduser()


def _again(state: ChatState, _rest: str) -> None:
    if not state.conversation.ask_again():
        raise CommandFailed("There is no question to answer again.")
    state.again = True


def _image(state: ChatState, rest: str) -> str:
    file = _file(rest, "/image")
    media_type, data = _content(file, _IMAGES)
    state.conversation.images.append(f"data:{media_type};base64,{data}")
    return _NEXT.format(file.name)


def _sound(state: ChatState, rest: str) -> str:
    file = _file(rest, "/sound")
    kind, data = _content(file, _SOUNDS)
    state.conversation.sounds.append({"data": data, "format": kind})
    return _NEXT.format(file.name)


def _content(file: Path, kinds: dict[str, str]) -> tuple[str, str]:
    """Return what kind a file is by its suffix, and its content in base64.

    Raises CommandFailed, OSError.
    """
    kind = kinds.get(file.suffix.lower())
    if kind is None:
        raise CommandFailed(f"{file} is none of {', '.join(kinds)}.")
    return kind, base64.b64encode(file.read_bytes()).decode()


def _help(_state: ChatState, _rest: str) -> str:
    width = max(len(name) for name in COMMANDS)
    commands = [f"  {name.ljust(width)}  {c.help}" for name, c in COMMANDS.items()]
    return "\n".join(
        [
            "Commands:",
            *commands,
            'A message of several lines stands between """ and """.',
            "Ctrl-C stops an answer, Ctrl-D leaves.",
        ]
    )


def _leave(_state: ChatState, _rest: str) -> None:
    raise Leave


COMMANDS = {
    "/set": SlashCommand(
        _set,
        "NAME VALUE: a parameter as temperature, or system; verbose, quiet, think, "
        "nothink; without a value, the default again",
    ),
    "/show": SlashCommand(_show, "model, settings, number of messages"),
    "/clear": SlashCommand(_clear, "forget the conversation"),
    "/regen": SlashCommand(_again, "answer the last question again"),
    "/model": SlashCommand(_model, "NAME: let another model answer"),
    "/save": SlashCommand(_save, "FILE: write the conversation"),
    "/load": SlashCommand(_load, "FILE: go on with a saved conversation"),
    "/image": SlashCommand(
        _image, "FILE: show the model an image, with the next message"
    ),
    "/sound": SlashCommand(
        _sound, "FILE: let the model hear a wav or mp3, with the next message"
    ),
    "/bye": SlashCommand(_leave, "leave (also /exit)"),
    "/exit": SlashCommand(_leave, "leave"),
    "/?": SlashCommand(_help, "this list (also /help)"),
    "/help": SlashCommand(_help, "this list"),
}
