"""``llm-manager list``: the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@json_option
@remote
def command(connection: Connection, /, *, as_json: bool) -> None:
    """List the models that requests can use (also `ls`).

    Without a running server, this is what the last scan found.
    """
    from llm_manager.command_line import local_rows
    from llm_manager.command_line.remote.api_client import ApiClient
    from llm_manager.lib.units import human_bytes

    with ApiClient(connection) as client:
        found = local_rows.ask(
            connection, lambda: client.get("/v1/models"), local_rows.model_list
        )
    if as_json:
        print_json(found)
        return
    print_table(
        ("model", "state", "size", "quantization", "context", "can"),
        (
            (
                each["id"],
                # Another server that speaks OpenAI's API says no more than the id.
                each.get("state"),
                human_bytes(each.get("size_bytes")),
                each.get("quantization"),
                each.get("context", {}).get("max"),
                ", ".join(each.get("capabilities", ())) or None,
            )
            for each in found["data"]
        ),
        right="size,context",
    )
