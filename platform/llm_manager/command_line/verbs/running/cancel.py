"""``llm-manager cancel``: ends a request that runs or waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.output import json_option, print_json
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@click.argument("request", metavar="ID")
@json_option
@remote
def command(connection: Connection, /, *, request: str, as_json: bool) -> None:
    """End a request that runs or waits; `llm-manager requests` shows its ID.

    Its client has the error request_cancelled. The key needs the scope admin.
    """
    from urllib.parse import quote

    from llm_manager.command_line.remote.api_client import ApiClient

    with ApiClient(connection) as client:
        path = f"/v1/admin/requests/{quote(request, safe='')}/cancel"
        cancelled = client.post(path, {})
    if as_json:
        print_json(cancelled)
    else:
        click.echo(f"{cancelled['id']}: cancelled")
