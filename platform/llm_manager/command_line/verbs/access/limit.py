"""``llm-manager limit``: how much keys, users and teams may use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.completion import ModelName

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi

_KINDS = (
    "requests_minute",
    "tokens_minute",
    "parallel",
    "tokens_day",
    "tokens_month",
    "money_month",
)
_each_key_option = click.option(
    "--shared/--each-key",
    "is_shared",
    default=None,
    help="A user's or a team's keys share it, or each of them may use this much "
    "(default: they share it).",
)


@click.group()
def command() -> None:
    """Create, list, change and delete limits and budgets.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command("list")
@json_option
@administering
def list_limits(api: AdminApi, /, *, as_json: bool) -> None:
    """List the limits."""
    _print(api.all_of("limits", "id"), as_json=as_json)


@command.command()
@click.argument("kind", type=click.Choice(_KINDS), metavar="KIND")
@click.argument("amount", type=float)
@click.option("--prefix", metavar="PREFIX", help="Of the key with this prefix.")
@click.option("--user", metavar="USER", help="Of this user's keys.")
@click.option("--team", metavar="TEAM", help="Of this team's keys.")
@click.option("--model", type=ModelName(), help="Only for this model (default: all).")
@_each_key_option
@json_option
@administering
def create(
    api: AdminApi,
    /,
    *,
    prefix: str | None,
    as_json: bool,
    **members: Any,
) -> None:
    """Create a limit; without --prefix, --user and --team it is every key's default.

    KIND is requests_minute, tokens_minute, parallel, tokens_day, tokens_month or
    money_month; AMOUNT is a number of those, or money in the configured currency.
    """
    if sum(bool(name) for name in (prefix, members["user"], members["team"])) > 1:
        raise click.UsageError("Give one of --prefix, --user and --team.")
    _print(api.post("limits", body=given(key=prefix, **members)), as_json=as_json)


@command.command()
@click.argument("number", type=int)
@click.option("--amount", type=float, help="Requests, tokens, or money.")
@_each_key_option
@json_option
@administering
def change(
    api: AdminApi, /, *, number: int, as_json: bool, **members: float | bool | None
) -> None:
    """Change the limit with this number, which `list` shows."""
    body = given(**members)
    if not body:
        raise click.UsageError("Give --amount, --shared or --each-key.")
    _print(api.patch("limits", str(number), body=body), as_json=as_json)


@command.command()
@click.argument("number", type=int)
@json_option
@administering
def delete(api: AdminApi, /, *, number: int, as_json: bool) -> None:
    """Delete the limit with this number."""
    deleted = api.delete("limits", str(number))
    if as_json:
        print_json(deleted)
    else:
        click.echo(f"Deleted the limit {deleted['id']}.")


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a limit, or a list of them."""
    if as_json:
        print_json(found)
        return
    print_table(
        ("number", "of", "kind", "amount", "model"),
        (
            (
                limit["id"],
                _holder(limit),
                limit["kind"],
                f"{limit['amount']:,.12g}",
                limit["model"] or "all",
            )
            for limit in found.get("data", [found])
        ),
        right="number amount",
    )


def _holder(limit: dict[str, Any]) -> str:
    if limit["key"]:
        return f"key {limit['key']}"
    for kind in ("user", "team"):
        if limit[kind]:
            shared = "" if limit["is_shared"] else ", each key"
            return f"{kind} {limit[kind]}{shared}"
    return "every key"
