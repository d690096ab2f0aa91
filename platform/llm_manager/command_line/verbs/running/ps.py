"""``llm-manager ps``: what runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from llm_manager.command_line.remote.connection import Connection

#: The report is whole, and says that requests cannot be served.
_UNAVAILABLE = 503


@click.command()
@json_option
@remote
def command(connection: Connection, /, *, as_json: bool) -> None:
    """Show the loaded models, their requests and memory, and until when.

    The key needs the scope admin.
    """
    from llm_manager.command_line.remote.api_client import ApiClient

    with ApiClient(connection) as client:
        health = client.get("/health/detailed", accepted=(_UNAVAILABLE,))
    if as_json:
        print_json(health)
        return
    columns = ("model", "state", "node", "memory", "context", "running", "waiting")
    print_table(
        (*columns, "until"),
        _rows(health, time.time()),
        right="memory,context,running,waiting",
    )


def _rows(health: Mapping[str, Any], now: float) -> Iterator[tuple[object, ...]]:
    from llm_manager.lib.units import human_bytes

    # Requests that no worker has taken yet count for the first worker of their model.
    queued = {name: depth for name, depth in health["queues"].items() if depth}
    for worker in health["workers"]:
        name = worker["model"]
        yield (
            f"{name} #{worker['replica']}" if worker["replica"] else name,
            worker["state"],
            worker["node"],
            human_bytes(worker["memory_bytes"]),
            worker["n_ctx"],
            worker["running"],
            worker["waiting"] + queued.pop(name, 0),
            _until(worker, now),
        )
    for name, depth in queued.items():
        yield name, "queued", None, None, None, 0, depth, None


def _until(worker: Mapping[str, Any], now: float) -> str:
    """Return when a worker is unloaded, as people say it."""
    if worker["state"] != "ready":
        return "-"
    if worker["keep_alive_s"] is None:
        return "for good"
    if worker["unload_at"] is None:
        return f"{_span(worker['keep_alive_s'])} after its last request"
    return f"in {_span(max(worker['unload_at'] - now, 0))}"


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
