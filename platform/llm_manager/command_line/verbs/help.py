"""``llm-manager help``: what a command does."""

from __future__ import annotations

import click


@click.command()
@click.argument("words", nargs=-1, metavar="[COMMAND]")
@click.pass_context
def command(context: click.Context, words: tuple[str, ...]) -> None:
    """Describe a command: llm-manager help server."""
    program = context.find_root()
    program.command.main(
        [*words, "--help"], prog_name=program.info_name, standalone_mode=False
    )
