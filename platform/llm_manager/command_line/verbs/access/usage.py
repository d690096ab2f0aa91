"""``llm-manager usage``: who used what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection

#: The numbers of a table, and their headings.
_NUMBERS = {
    "requests": "requests",
    "failed": "failed",
    "prompt_tokens": "prompt",
    "cached_tokens": "cached",
    "completion_tokens": "completion",
    "cost": "cost",
}


@click.command()
@click.option(
    "--by",
    default="day",
    show_default=True,
    metavar="WHAT,…",
    help="What to add up by: day, key, owner, team, model.",
)
@click.option(
    "--since",
    default="30d",
    show_default=True,
    metavar="DAY",
    help="First day: 2026-11-29, or 7d for seven days ago.",
)
@click.option("--until", default="0d", metavar="DAY", help="Last day (default: today).")
@click.option("--prefix", help="Only the key with this prefix.")
@click.option("--owner", metavar="USER", help="Only keys of this user.")
@click.option("--team", metavar="TEAM", help="Only keys of this team.")
@click.option("--model", metavar="ID", help="Only this model.")
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    prefix: str | None,
    as_json: bool,
    **asked: str | None,
) -> None:
    """Add up requests, tokens and cost.

    A key of the scope admin sees everything, another one what itself has used. Without
    a running server, this is what the database says.
    """
    from llm_manager.command_line import local_rows
    from llm_manager.command_line.remote.api_client import ApiClient

    query = urlencode(given(key=prefix, **asked))

    def rows() -> Any:
        from llm_manager.command_line.administration.local_admin import on_database

        return on_database(connection.url)("GET", f"/v1/admin/usage?{query}", None)

    with ApiClient(connection) as client:
        usage = local_rows.ask(
            connection, lambda: client.get(f"/v1/usage?{query}"), rows
        )
    if as_json:
        print_json(usage)
    else:
        _print(usage["data"], currency=usage["currency"])


def _print(groups: list[dict[str, Any]], *, currency: str) -> None:
    """Print the groups as a table."""
    if not groups:
        click.echo("Nothing was used on these days.")
        return
    labels = [name for name in groups[0] if name not in _SUMS]
    headings = [
        f"{heading} ({currency})" if name == "cost" else heading
        for name, heading in _NUMBERS.items()
    ]
    print_table(
        (*(label.replace("_", " ") for label in labels), *headings),
        (
            (
                *(group[label] for label in labels),
                *(
                    f"{group[name]:.4f}" if name == "cost" else f"{group[name]:,}"
                    for name in _NUMBERS
                ),
            )
            for group in groups
        ),
        right=",".join(headings),
    )


_SUMS = (*_NUMBERS, "audio_tokens", "reasoning_tokens", "drafted_tokens")
