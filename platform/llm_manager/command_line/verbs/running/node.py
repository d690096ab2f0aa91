"""``llm-manager node``: machines, their drains and their model files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.lib.units import human_bytes

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi


@click.group()
def command() -> None:
    """List the nodes and their files, drain one, let it fetch a model.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command("list")
@json_option
@administering
def list_nodes(api: AdminApi, /, *, as_json: bool) -> None:
    """List the nodes with their workers."""
    _print(api.all_of("nodes", "name"), as_json=as_json)


@command.command()
@click.argument("name")
@click.option(
    "--now",
    is_flag=True,
    help="Running requests move and do not end there, and what no other node can take "
    "is unloaded.",
)
@json_option
@administering
def drain(api: AdminApi, /, *, name: str, now: bool, as_json: bool) -> None:
    """Let a node take no workers, and those that it has go elsewhere.

    Running requests end there while another node serves their model; else they move.
    It holds until `llm-manager node undrain`, also after a restart.
    """
    _print(api.post("nodes", name, "drain", body={"now": now}), as_json=as_json)


@command.command()
@click.argument("name")
@json_option
@administering
def undrain(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Let a node take workers again."""
    _print(api.delete("nodes", name, "drain"), as_json=as_json)


@command.command()
@click.argument("name")
@json_option
@administering
def files(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """List the model files that a node has, as it last saw them."""
    found = api.get("nodes", name, "files")
    if as_json:
        print_json(found)
        return
    print_table(
        ("file", "size", "models"),
        (
            (
                each["path"],
                human_bytes(each["size"]),
                ", ".join(each["models"]) or None,
            )
            for each in found["data"]
        ),
        right="size",
    )


@command.command()
@click.argument("name")
@click.argument("model")
@json_option
@administering
def pull(api: AdminApi, /, *, name: str, model: str, as_json: bool) -> None:
    """Let a node fetch what it lacks of a model, from another node or from the hub.

    Where from is in its nodes.pull_models, how fast in its nodes.pull_mb_per_s; how far
    it is, among the downloads.
    """
    found = api.post("nodes", name, "files", body={"model": model})
    if as_json:
        print_json(found)
        return
    count = len(found["downloads"])
    limit = found["pull_mb_per_s"]
    rate = f", at most {limit} MiB/s" if limit else ""
    click.echo(
        f"{name} fetches {model}: {count} download{'s' if count > 1 else ''}{rate}."
    )


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a node, or a list of them."""
    if as_json:
        print_json(found)
        return
    nodes = found.get("data", [found])
    print_table(
        ("name", "state", "labels", "models", "running", "files"),
        (
            (
                node["name"],
                _state(node),
                ", ".join(node["labels"]) or None,
                ", ".join(worker["model"] for worker in node["workers"]) or None,
                sum(worker["running"] for worker in node["workers"]),
                node["files"] and human_bytes(node["files"]["size"]),
            )
            for node in nodes
        ),
        right="running,files",
    )


def _state(node: dict[str, Any]) -> str:
    if not node["is_alive"]:
        return "no heartbeat"
    if node["drain"] is None:
        return "alive"
    return "drains" if node["workers"] else "drained"
