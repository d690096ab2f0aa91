"""``llm-manager requests``: what runs and waits now."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.output import (
    json_option,
    print_json,
    print_line,
    print_table,
)
from llm_manager.command_line.remote.completion import ModelName
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from llm_manager.command_line.remote.connection import Connection

_LOOK_EVERY_S = 2.0
#: Of one answer of the API.
_MOST = "1000"
_NUMBERS = ("prompt", "tokens", "tokens/s", "age", "place")


@click.command()
@click.option("--model", type=ModelName(), help="Only those of this model.")
@click.option("--prefix", help="Only those of the key with this prefix.")
@click.option("--endpoint", help="Only those of this endpoint.")
@click.option("--node", help="Only those of this node.")
@click.option("--watch", is_flag=True, help="Look again every two seconds.")
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    model: str | None,
    prefix: str | None,
    endpoint: str | None,
    node: str | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Show the requests that run and wait, the oldest first.

    The key needs the scope admin. `llm-manager cancel ID` ends one.
    """
    from llm_manager.command_line.remote.api_client import ApiClient

    filters = given(model=model, key=prefix, endpoint=endpoint, node=node)
    query = urlencode({**filters, "limit": _MOST})
    with ApiClient(connection) as client:
        while True:
            found = client.get(f"/v1/admin/requests?{query}")
            if watch and as_json:
                print_line(found)
            elif as_json:
                print_json(found)
            else:
                if watch:
                    click.clear()
                _print(found)
            if not watch:
                return
            time.sleep(_LOOK_EVERY_S)


def _print(found: Mapping[str, Any]) -> None:
    if found["data"]:
        columns = ("id", "model", "key", "owner", "endpoint", "state", "node")
        right = ",".join(_NUMBERS)
        print_table((*columns, *_NUMBERS), _rows(found["data"]), right=right)
    else:
        click.echo("No request runs or waits.")
    if found["has_more"]:
        click.echo("There are more.")
    if silent := found["silent_processes"]:
        click.echo(f"{silent} of the server's processes did not answer.", err=True)


def _rows(requests: list[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    for request in requests:
        yield (
            request["id"],
            request["model"],
            request["key_name"],
            request["owner"],
            request["endpoint"],
            _state(request),
            request["node"],
            request["prompt_tokens"],
            request["completion_tokens"],
            request["tokens_per_second"],
            f"{request['age_seconds']:.0f} s",
            request["place"],
        )


def _state(request: Mapping[str, Any]) -> str:
    share = request["prefill_progress"]
    state = str(request["state"])
    return state if share is None else f"{state} {int(share * 100)} %"
