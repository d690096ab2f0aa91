"""``llm-manager delete``: deletes a model with its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.output import json_option, print_json
from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection

#: The code of the error that a confirmation answers.
_CONFIRMATION_NEEDED = "confirmation_needed"


@click.command()
@model_argument
@click.option("--yes", is_flag=True, help="Do not ask, also if something breaks by it.")
@json_option
@remote
def command(connection: Connection, /, *, model: str, yes: bool, as_json: bool) -> None:
    """Delete a model with its files (also `rm`).

    It asks before, and names what breaks: aliases, keys and teams that are restricted
    to the model, models that draft with it, its requests. The key needs the scope
    models.
    """
    from llm_manager.command_line.remote.api_client import ApiClient, model_path
    from llm_manager.lib.units import human_bytes

    path = model_path(model)
    if not yes and not click.confirm(f"Delete {model} and its files?", err=True):
        raise click.Abort
    with ApiClient(connection) as client:
        try:
            gone = client.send("DELETE", path + ("?confirm=true" if yes else ""))
        except CommandFailed as error:
            if yes or error.code != _CONFIRMATION_NEEDED:
                raise
            click.echo(str(error), err=True)
            if not click.confirm("Delete it nevertheless?", err=True):
                raise click.Abort from None
            gone = client.send("DELETE", f"{path}?confirm=true")
    if as_json:
        print_json(gone)
        return
    files = len(gone["files"])
    click.echo(
        f"{gone['id']}: deleted, {files} file{'' if files == 1 else 's'}, "
        f"{human_bytes(gone['size_bytes'])}"
    )
    # A server of an earlier version does not say it.
    if kept_on := gone.get("kept_on"):
        click.echo(f"Still on {', '.join(kept_on)}: delete the files there.")
