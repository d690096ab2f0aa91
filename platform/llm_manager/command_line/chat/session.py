"""The loop of a conversation: read, answer, print, until the user leaves."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from llm_manager.command_line.chat.answer import AnswerPrinter, PrintedAnswer
from llm_manager.command_line.chat.prompt import line_editing, read_prompt
from llm_manager.command_line.chat.slash_commands import (
    COMMANDS,
    ChatState,
    Leave,
    is_command,
    run_command,
)
from llm_manager.command_line.exit_status import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class ChatBackend(Protocol):
    """What answers: a server, or the Python API."""

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return a whole answer as the API has it. Raises CommandFailed."""

    def stream(
        self, body: dict[str, Any]
    ) -> AbstractContextManager[Iterator[dict[str, Any]]]:
        """Return the chunks of an answer; leaving ends it. Raises CommandFailed."""


def converse(
    backend: ChatBackend, state: ChatState, read: Callable[[], str] = read_prompt
) -> None:
    """Talk until the user leaves. Failures are said, and end nothing."""
    click.echo("/? lists the commands, Ctrl-D leaves.", err=True)
    with line_editing(COMMANDS):
        while True:
            try:
                line = read()
                if not line:
                    continue
                if is_command(line):
                    _command(backend, state, line)
                else:
                    before = list(state.conversation.messages)
                    state.conversation.ask(line)
                    _answer_in_conversation(backend, state, before)
            except KeyboardInterrupt:
                click.echo("\nCtrl-D leaves.", err=True)
            except CommandFailed as error:
                click.echo(str(error), err=True)
            except (EOFError, Leave):
                click.echo(err=True)
                return


def answer_once(backend: ChatBackend, state: ChatState) -> None:
    """Print the answer to what the conversation asks. Raises CommandFailed."""
    print_answer(backend, state, PrintedAnswer())


def print_answer(backend: ChatBackend, state: ChatState, answer: PrintedAnswer) -> None:
    """Print an answer as it comes, and note it. Raises CommandFailed.

    Its end, also by Ctrl-C, is the end of a line.
    """
    printer = AnswerPrinter(is_terminal=sys.stdout.isatty(), write=_write)
    body = state.conversation.request() | {
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    try:
        with _waiting() as has_begun, backend.stream(body) as chunks:
            printer.print(_first_ends(chunks, has_begun), answer)
    finally:
        if answer.content or answer.reasoning:
            _write("\n")
    if answer.finish_reason == "length":
        click.secho("(The answer was cut at its largest length.)", dim=True, err=True)
    if state.is_verbose:
        click.secho(answer.summary(), dim=True, err=True)


def _command(backend: ChatBackend, state: ChatState, line: str) -> None:
    before = list(state.conversation.messages)
    said = run_command(state, line)
    if said is not None:
        click.echo(said)
    if state.again:
        state.again = False
        _answer_in_conversation(backend, state, before)


def _answer_in_conversation(
    backend: ChatBackend, state: ChatState, before: list[dict[str, Any]]
) -> None:
    """Answer the question; if nothing comes, the messages are those of before."""
    answer = PrintedAnswer()
    try:
        print_answer(backend, state, answer)
    except KeyboardInterrupt:
        # The conversation goes on with what has come.
        pass
    finally:
        if answer.content or answer.reasoning:
            state.conversation.answered(answer.content, answer.reasoning)
        else:
            state.conversation.messages = before


def _write(text: str) -> None:
    click.echo(text, nl=False)


@contextmanager
def _waiting() -> Iterator[Callable[[], None]]:
    """Show on a terminal that no answer has begun, until the function is called."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console

    status = Console(stderr=True).status("")
    status.start()
    try:
        yield status.stop
    finally:
        status.stop()


def _first_ends(
    chunks: Iterator[dict[str, Any]], has_begun: Callable[[], None]
) -> Iterator[dict[str, Any]]:
    """Yield the chunks; the first one with text ends the waiting."""
    for chunk in chunks:
        if any(
            choice["delta"].get("content") or choice["delta"].get("reasoning_content")
            for choice in chunk["choices"]
        ):
            has_begun()
        yield chunk
