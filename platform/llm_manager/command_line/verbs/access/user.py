"""``llm-manager user``: people without staff rights."""

from __future__ import annotations

import sys
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

_teams_option = click.option(
    "--team",
    "teams",
    metavar="TEAM",
    multiple=True,
    help="A team to join; may be given several times.",
)


@click.group()
def command() -> None:
    """Create, list, invite and deactivate users.

    At the server, with a key of the scope admin; else on the database of the data
    directory. Administrators are made by createsuperuser.
    """


@command.command("list")
@json_option
@administering
def list_users(api: AdminApi, /, *, as_json: bool) -> None:
    """List the users."""
    _print(api.all_of("users", "username"), as_json=as_json)


@command.command()
@click.argument("name")
@click.option("--email", help="The mail address.")
@_teams_option
@click.option(
    "--password",
    "with_password",
    is_flag=True,
    help="Ask for a password, or read it from standard input where that is no "
    "terminal. Without it the user cannot log in by one.",
)
@json_option
@administering
def create(
    api: AdminApi,
    /,
    *,
    name: str,
    email: str | None,
    teams: tuple[str, ...],
    with_password: bool,
    as_json: bool,
) -> None:
    """Create a user without staff rights."""
    password = _password() if with_password else None
    body = given(username=name, email=email, teams=teams, password=password)
    _print(api.post("users", body=body), as_json=as_json)


@command.command()
@_teams_option
@click.option("--days", type=int, help="For how long it works (default: 7).")
@click.option("--note", help="Whom it is for.")
@json_option
@administering
def invite(
    api: AdminApi,
    /,
    *,
    teams: tuple[str, ...],
    days: int | None,
    note: str | None,
    as_json: bool,
) -> None:
    """Print a link that makes a user, once; it cannot be shown again."""
    body = given(teams=teams, days=days, note=note)
    invitation = api.post("invitations", body=body)
    if as_json:
        print_json(invitation)
        return
    click.echo(invitation["link"])
    click.echo(f"It works once, until {minute(invitation['expires_at'])}.", err=True)


@command.command()
@click.argument("name")
@json_option
@administering
def deactivate(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """End a user's log-ins and keys; activate brings them back."""
    changed = api.patch("users", name, body={"is_active": False})
    _print(changed, as_json=as_json)


@command.command()
@click.argument("name")
@json_option
@administering
def activate(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Let a user log in again, and the user's keys work."""
    changed = api.patch("users", name, body={"is_active": True})
    _print(changed, as_json=as_json)


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("--password: standard input has no password.")
    return line


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    """Print a user, or a list of them."""
    if as_json:
        print_json(found)
        return
    print_table(
        ("name", "email", "teams", "rights", "last login", "state"),
        (
            (
                user["username"],
                user["email"] or None,
                ", ".join(user["teams"]) or None,
                _rights(user),
                minute(user["last_login"]) or "never",
                "active" if user["is_active"] else "inactive",
            )
            for user in found.get("data", [found])
        ),
    )


def _rights(user: dict[str, Any]) -> str | None:
    if user["is_superuser"]:
        return "administrator"
    return "staff" if user["is_staff"] else None
