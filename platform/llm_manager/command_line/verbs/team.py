"""``llm-manager team``: groups of users whose keys share models and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.completion import ModelName

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi

_models_option = click.option(
    "--models",
    type=ModelName(),
    multiple=True,
    help="A model that its keys may use; may be given several times (default: none).",
)
_all_models_option = click.option(
    "--all-models", is_flag=True, help="Its keys may use every model."
)


@click.group()
def command() -> None:
    """Create, list, change and delete teams.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command("list")
@json_option
@administering
def list_teams(api: AdminApi, /, *, as_json: bool) -> None:
    """List the teams."""
    _print(api.all_of("teams", "name"), as_json=as_json)


@command.command()
@click.argument("name")
@click.option(
    "--member",
    "members",
    metavar="USER",
    multiple=True,
    help="A user in it; may be given several times.",
)
@_models_option
@_all_models_option
@click.option("--notes", help="For administrators.")
@json_option
@administering
def create(
    api: AdminApi,
    /,
    *,
    name: str,
    members: tuple[str, ...],
    models: tuple[str, ...],
    all_models: bool,
    notes: str | None,
    as_json: bool,
) -> None:
    """Create a team."""
    body = given(name=name, members=members, notes=notes)
    _print(
        api.post("teams", body=body | _models(models, all_models=all_models)),
        as_json=as_json,
    )


@command.command()
@click.argument("name")
@click.option(
    "--add", metavar="USER", multiple=True, help="Who joins; may be repeated."
)
@click.option(
    "--remove", metavar="USER", multiple=True, help="Who leaves; may be repeated."
)
@json_option
@administering
def members(
    api: AdminApi,
    /,
    *,
    name: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    as_json: bool,
) -> None:
    """List a team's users, or change who is in it.

    Keys of the team stop working when their owner leaves it.
    """
    team = api.get("teams", name)
    if add or remove:
        for user in remove:
            if user not in team["members"]:
                raise click.UsageError(f"'{user}' is not in the team '{name}'.")
        names = {*team["members"], *add} - set(remove)
        team = api.patch("teams", name, body={"members": sorted(names)})
    if as_json:
        print_json(team)
        return
    for user in team["members"]:
        click.echo(user)


@command.command()
@click.argument("name")
@_models_option
@_all_models_option
@json_option
@administering
def models(
    api: AdminApi,
    /,
    *,
    name: str,
    models: tuple[str, ...],
    all_models: bool,
    as_json: bool,
) -> None:
    """Set which models a team's keys may use; without options, none."""
    chosen = {"models": [], **_models(models, all_models=all_models)}
    _print(api.patch("teams", name, body=chosen), as_json=as_json)


@command.command()
@click.argument("name")
@json_option
@administering
def delete(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Delete a team that no keys belong to."""
    deleted = api.delete("teams", name)
    if as_json:
        print_json(deleted)
    else:
        click.echo(f"Deleted the team {deleted['id']}.")


def _models(names: tuple[str, ...], *, all_models: bool) -> dict[str, Any]:
    """Return the members of a body that say which models."""
    if names and all_models:
        raise click.UsageError("Give --models or --all-models, not both.")
    return {"all_models": True} if all_models else given(models=names)


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a team, or a list of them."""
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "members", "models", "notes"),
        (
            (
                team["name"],
                len(team["members"]),
                "all" if team["all_models"] else ", ".join(team["models"]) or "none",
                team["notes"] or None,
            )
            for team in found.get("data", [found])
        ),
        right="members",
    )
