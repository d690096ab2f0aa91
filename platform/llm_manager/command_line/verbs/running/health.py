"""``llm-manager health``: what is wrong, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.output import json_option, print_json, print_pairs
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from llm_manager.command_line.remote.connection import Connection

#: The report is whole, and says that requests cannot be served.
_UNAVAILABLE = 503
_COLOURS = {"danger": "red", "warning": "yellow"}


@click.command()
@json_option
@remote
def command(connection: Connection, /, *, as_json: bool) -> None:
    """Show what is wrong first, each with what to do, then every part.

    The exit status is 1 if requests cannot be served. The key needs the scope admin.
    """
    from llm_manager.command_line.remote.api_client import ApiClient

    with ApiClient(connection) as client:
        health = client.get("/health/detailed", accepted=(_UNAVAILABLE,))
    if as_json:
        print_json(health)
    else:
        _print(health)
    if health["status"] != "ok":
        raise CommandFailed("Requests cannot be served now.")


def _print(health: Mapping[str, Any]) -> None:
    from llm_manager.lib.quoting import printable

    for problem in health["problems"]:
        part = click.style(problem["part"], bold=True, fg=_COLOURS[problem["severity"]])
        click.echo(f"{part}: {printable(problem['text'])}")
        click.echo(f"  {printable(problem['advice'])}")
    if not health["problems"]:
        click.echo("Everything is well.")
    click.echo()
    print_pairs(_parts(health))


def _parts(health: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from llm_manager.lib.units import human_bytes

    database, redis = health["database"], health["redis"]
    yield (
        "Database",
        f"{database['kind']} {database['version']}, "
        f"{human_bytes(database['size_bytes'])}, {database['latency_ms']} ms",
    )
    if redis["error"] is None:
        memory = human_bytes(redis["memory_bytes"])
        yield "Redis", f"{redis['version']}, {memory}, {redis['latency_ms']} ms"
    for node in health["nodes"]:
        free = human_bytes(node["memory_available_bytes"])
        yield "Node", f"{node['name']}, {node['workers']} loaded, {free} free"
    for server in health["rpc_servers"]:
        lends = f"lends {human_bytes(server['offered_bytes'])}"
        held = f", to {server['holder']}" if server["holder"] else ""
        state = server["error"] or f"{lends}{held}"
        yield "RPC server", f"{server['address']} seen from {server['node']}: {state}"
    for disk in health["disks"]:
        if disk["error"] is None:
            free, total = disk["free_bytes"], disk["total_bytes"]
            yield (
                "Disk",
                f"{disk['machine']} {disk['path']} ({disk['name']}), "
                f"{human_bytes(free)} of {human_bytes(total)} free",
            )
    yield "Usage", f"{health['journal']['waiting']} requests without a row"
    versions = [f"{name} {text}" for name, text in health["versions"].items()]
    yield "Versions", ", ".join(versions)
