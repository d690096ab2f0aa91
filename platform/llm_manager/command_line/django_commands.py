"""Django's commands, and those of the apps, as commands of ``llm-manager``."""

from __future__ import annotations

import click

from llm_manager.command_line.django_setup import load_django
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.words import MANAGEMENT, unknown_command


def django_command(word: str, *, verbs: list[str]) -> click.Command:
    """Return a command that hands its arguments to Django's command of this name."""
    name, summary = MANAGEMENT.get(word, (word, ""))

    @click.command(
        word,
        help=summary,
        # Django's own parser describes and refuses options, --help too.
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def run(arguments: tuple[str, ...]) -> None:
        load_django()
        from django.core.management import execute_from_command_line, get_commands

        if name not in get_commands():
            sentence = unknown_command(word, verbs, get_commands())
            raise CommandFailed(sentence, ExitStatus.WRONG_USAGE)
        execute_from_command_line(["llm-manager", name, *arguments])

    return run
