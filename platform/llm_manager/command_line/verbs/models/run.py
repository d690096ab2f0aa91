"""``llm-manager run``: a conversation in the terminal, or one answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote
from llm_manager.command_line.request_settings import setting_option, settings_of

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@model_argument
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="The system message.")
@setting_option(
    "A parameter of the request, as temperature=0.2; may be given several times."
)
@click.option("-v", "--verbose", is_flag=True, help="Say how fast each answer was.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@remote
def command(
    connection: Connection,
    /,
    *,
    model: str,
    prompt: str | None,
    system: str | None,
    settings: tuple[str, ...],
    verbose: bool,
    as_json: bool,
) -> None:
    """Chat with a model, or print its answer to a prompt.

    Without a prompt it is a conversation; /? lists its commands. What comes through a
    pipe is the prompt, or stands before it. Thoughts are dim on a terminal, and not
    written to a pipe. Without a running server the model runs in this program.
    """
    from llm_manager.command_line.chat.choosing import open_backend
    from llm_manager.command_line.chat.conversation import ChatConversation, is_settable
    from llm_manager.command_line.chat.session import answer_once, converse
    from llm_manager.command_line.chat.slash_commands import ChatState
    from llm_manager.command_line.output import print_json

    conversation = ChatConversation(model=model, system=system)
    for name, value in settings_of(settings).items():
        if not is_settable(name, several=as_json):
            raise click.UsageError(f"--set cannot change '{name}' here.")
        conversation.set(name, value)
    question = _question(prompt)
    if question is None and as_json:
        raise click.UsageError("--json needs a prompt.")
    state = ChatState(conversation, is_verbose=verbose)
    with open_backend(connection, model) as backend:
        if question is None:
            converse(backend, state)
            return
        conversation.ask(question)
        if as_json:
            print_json(backend.answer(conversation.request()))
        else:
            answer_once(backend, state)


def _question(prompt: str | None) -> str | None:
    """Return the prompt with what is piped in before it; None for a conversation."""
    if sys.stdin.isatty():
        if prompt is None and not sys.stdout.isatty():
            raise click.UsageError("A conversation needs a terminal; give a prompt.")
        return prompt
    piped = sys.stdin.read().strip()
    question = "\n\n".join(filter(None, (piped, prompt)))
    if not question:
        raise click.UsageError("The prompt is empty.")
    return question
