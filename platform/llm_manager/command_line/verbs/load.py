"""``llm-manager load``: loads a model before its first request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.completion import model_argument
from llm_manager.command_line.connection import remote
from llm_manager.command_line.output import json_option, print_json

if TYPE_CHECKING:
    from llm_manager.command_line.connection import Connection


@click.command()
@model_argument
@click.option("--no-wait", is_flag=True, help="Return while it is still being loaded.")
@json_option
@remote
def command(
    connection: Connection, /, *, model: str, no_wait: bool, as_json: bool
) -> None:
    """Load a model now; return when it is ready.

    The key needs the scope models.
    """
    from llm_manager.command_line.api_client import ApiClient, model_path
    from llm_manager.command_line.load_progress import load_progress

    client = ApiClient(connection)
    with load_progress(connection, model, is_shown=not no_wait):
        loaded = client.post(model_path(model, "load"), {"wait": not no_wait})
    if as_json:
        print_json(loaded)
    else:
        click.echo(f"{loaded['id']}: {loaded['state']}")
