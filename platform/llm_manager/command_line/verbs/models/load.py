"""``llm-manager load``: loads a model before its first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.output import json_option, print_json
from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote
from llm_manager.command_line.request_settings import setting_option, settings_of

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@model_argument
@setting_option("A setting for this load, as n_ctx=8192; may be given several times.")
@click.option("--no-wait", is_flag=True, help="Return while it is still being loaded.")
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    model: str,
    settings: tuple[str, ...],
    no_wait: bool,
    as_json: bool,
) -> None:
    """Load a model now; return when it is ready.

    The key needs the scope models. Without --set a model that is loaded stays as it
    is.
    """
    from llm_manager.command_line.remote.api_client import ApiClient, model_path
    from llm_manager.command_line.remote.load_progress import load_progress

    body: dict[str, Any] = {"wait": not no_wait}
    if settings:
        body["config"] = settings_of(settings)
    with (
        ApiClient(connection) as client,
        load_progress(connection, model, is_shown=not no_wait),
    ):
        loaded = client.post(model_path(model, "load"), body)
    if as_json:
        print_json(loaded)
    else:
        click.echo(f"{loaded['id']}: {loaded['state']}")
