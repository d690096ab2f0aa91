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
@click.option(
    "--models",
    type=ModelName(),
    multiple=True,
    help="A model that its keys may use; may be given several times (default: none).",
)
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
    if models and all_models:
        raise click.UsageError("Give --models or --all-models, not both.")
    body = given(
        name=name,
        members=members,
        models=models,
        all_models=all_models or None,
        notes=notes,
    )
    _print(api.post("teams", body=body), as_json=as_json)


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
@click.option(
    "--set",
    "chosen",
    metavar="MODEL",
    type=ModelName(),
    multiple=True,
    help="A model in the place of those before; may be repeated.",
)
@_all_models_option
@click.option("--none", is_flag=True, help="Its keys may use no model.")
@json_option
@administering
def models(
    api: AdminApi,
    /,
    *,
    name: str,
    chosen: tuple[str, ...],
    all_models: bool,
    none: bool,
    as_json: bool,
) -> None:
    """Show which models a team's keys may use, or set them."""
    if sum((bool(chosen), all_models, none)) > 1:
        raise click.UsageError("Give one of --set, --all-models and --none.")
    if chosen or all_models or none:
        body = {"all_models": all_models, "models": list(chosen)}
        team = api.patch("teams", name, body=body)
    else:
        team = api.get("teams", name)
    _print(team, as_json=as_json)


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
