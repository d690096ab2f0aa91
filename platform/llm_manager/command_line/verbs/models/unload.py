"""``llm-manager unload``: takes a model out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.output import json_option, print_json
from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@model_argument
@click.option(
    "--now", is_flag=True, help="End running requests instead of finishing them."
)
@json_option
@remote
def command(connection: Connection, /, *, model: str, now: bool, as_json: bool) -> None:
    """Unload a model after its running requests (also `stop`).

    The key needs the scope models. Ctrl-C where it runs stops the server itself.
    """
    from llm_manager.command_line.remote.api_client import ApiClient, model_path

    with ApiClient(connection) as client:
        unloaded = client.post(model_path(model, "unload"), {"now": now})
    if as_json:
        print_json(unloaded)
    else:
        click.echo(f"{unloaded['id']}: {unloaded['state']}")
