"""``llm-manager audit``: who changed what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.output import (
    json_option,
    minute,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi


@click.command()
@click.option(
    "--kind", help="Only rows of this kind: apikey, team, user, model, limit …"
)
@click.option("--by", metavar="USER", help="Only changes by this user.")
@click.option("--object", "row", metavar="TEXT", help="Only rows named like this.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="The most entries.",
)
@json_option
@administering
def command(
    api: AdminApi, /, *, row: str | None, limit: int, as_json: bool, **asked: Any
) -> None:
    """Show the latest changes of keys, teams, users, models and limits.

    At the server, with a key of the scope admin; else from the database of the data
    directory.
    """
    found = api.get("audit", **given(limit=str(limit), object=row, **asked))
    if as_json:
        print_json(found)
        return
    print_table(
        ("time", "by", "event", "kind", "row", "changes"),
        (
            (
                minute(entry["at"]),
                entry["by"] or None,
                entry["event"],
                entry["kind"],
                entry["object"],
                _changes(entry) or None,
            )
            for entry in found["data"]
        ),
    )


def _changes(entry: dict[str, Any]) -> str:
    if entry["event"] != "changed":
        return ""
    return ", ".join(
        f"{name}: {' -> '.join(change)}"
        if isinstance(change, list)
        else f"{name}: {json.dumps(change, ensure_ascii=False)}"
        for name, change in sorted(entry["changes"].items())
    )
