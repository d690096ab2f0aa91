"""``llm-manager route``: names that stand for one of several models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.output import (
    alias_option,
    json_option,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi


@click.group()
def command() -> None:
    """List, add and remove routes.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command("list")
@json_option
@administering
def list_routes(api: AdminApi, /, *, as_json: bool) -> None:
    """List the routes with their targets."""
    found = api.all_of("routes", "name")
    if as_json:
        print_json(found)
    else:
        _print(found["data"])


@command.command()
@click.argument("name")
@click.argument("targets", nargs=-1, required=True, metavar="MODEL[=WEIGHT]…")
@click.option("--falls-back", is_flag=True, help="Ask the next target where one fails.")
@alias_option
@json_option
@administering
def add(
    api: AdminApi,
    /,
    *,
    name: str,
    targets: tuple[str, ...],
    falls_back: bool,
    aliases: tuple[str, ...],
    as_json: bool,
) -> None:
    """Add a route to models, each with its weight: small=95 large=5.

    A weight of 0 answers only where others fail.
    """
    body = {
        "name": name,
        "targets": [_target(text) for text in targets],
        "falls_back": falls_back,
        "aliases": list(aliases),
    }
    added = api.post("routes", body=body)
    if as_json:
        print_json(added)
    else:
        _print([added])


@command.command()
@click.argument("name")
@json_option
@administering
def remove(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Remove a route; its models stay."""
    deleted = api.delete("routes", name)
    if as_json:
        print_json(deleted)
    else:
        click.echo(f"Removed {deleted['id']}.")


def _target(text: str) -> dict[str, Any]:
    """Return a target; the model's name may have an = too."""
    model, mark, weight = text.rpartition("=")
    if mark and weight.isdecimal():
        return {"model": model, "weight": int(weight)}
    return {"model": text}


def _print(routes: list[dict[str, Any]]) -> None:
    print_table(
        ("route", "targets", "falls back", "aliases"),
        (
            (
                each["name"],
                ", ".join(f"{t['model']}={t['weight']}" for t in each["targets"]),
                "yes" if each["falls_back"] else "no",
                ", ".join(each["aliases"]),
            )
            for each in routes
        ),
    )
