"""``llm-manager key``: API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.output import (
    json_option,
    minute,
    print_json,
    print_table,
)
from llm_manager.command_line.remote.completion import ModelName

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi

_MAX_DAYS = 36_500


@click.group()
def command() -> None:
    """Create, list, rotate, capture and revoke API keys.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--owner", metavar="USER", help="User name of the owner (default: the only admin)."
)
@click.option("--team", metavar="TEAM", help="A team that the owner is in.")
@click.option(
    "--scopes",
    default="inference",
    show_default=True,
    help="Comma-separated: inference, models, admin.",
)
@click.option(
    "--models",
    type=ModelName(),
    multiple=True,
    help="A model that the key may use; may be given several times (default: all).",
)
@click.option(
    "--expires", metavar="DAYS", help="Days until it expires, as 90d (default: never)."
)
@click.option(
    "--rate-limit",
    type=int,
    help="Requests in a window; 0 is no limit (default: server.rate_limit).",
)
@click.option(
    "--weight", type=float, help="Share of a busy model beside other keys (default: 1)."
)
@json_option
@administering
def create(
    api: AdminApi,
    /,
    *,
    name: str,
    owner: str | None,
    team: str | None,
    scopes: str,
    models: tuple[str, ...],
    expires: str | None,
    rate_limit: int | None,
    weight: float | None,
    as_json: bool,
) -> None:
    """Create a key and print its secret, which cannot be shown again."""
    body = given(
        name=name,
        team=team,
        scopes=[scope.strip() for scope in scopes.split(",")],
        all_models=not models,
        models=models,
        expires_at=None if expires is None else _moment_after(expires),
        rate_limit=rate_limit,
        weight=weight,
    )
    body["owner"] = owner or _only_admin(api)
    _print_secret(api.post("keys", body=body), as_json=as_json)


@command.command("list")
@click.option("--owner", metavar="USER", help="Only keys of this user.")
@click.option("--team", metavar="TEAM", help="Only keys of this team.")
@json_option
@administering
def list_keys(
    api: AdminApi, /, *, owner: str | None, team: str | None, as_json: bool
) -> None:
    """List the keys; their secrets are not stored."""
    keys = api.all_of("keys", "prefix", **given(owner=owner, team=team))
    if as_json:
        print_json(keys)
        return
    print_table(
        (
            *("name", "prefix", "owner", "team", "scopes"),
            *("models", "expires", "last used", "state"),
        ),
        (
            (
                key["name"],
                key["prefix"],
                key["owner"],
                key["team"],
                ", ".join(key["scopes"]),
                "all" if key["all_models"] else ", ".join(key["models"]) or "none",
                minute(key["expires_at"]) or "never",
                minute(key["last_used_at"]) or "never",
                key["state"],
            )
            for key in keys["data"]
        ),
    )


@command.command()
@click.argument("which", metavar="KEY")
@click.option(
    "--grace",
    type=int,
    metavar="HOURS",
    help="For how long the old key goes on working; 0 revokes it (default: 168).",
)
@json_option
@administering
def rotate(api: AdminApi, /, *, which: str, grace: int | None, as_json: bool) -> None:
    """Put a new key in a key's place, by its prefix or its name."""
    prefix = _active_key(api, which)["prefix"]
    body = given(grace_hours=grace)
    _print_secret(api.post("keys", prefix, "rotate", body=body), as_json=as_json)


@command.command()
@click.argument("which", metavar="KEY")
@json_option
@administering
def revoke(api: AdminApi, /, *, which: str, as_json: bool) -> None:
    """Revoke a key for good, by its prefix or its name."""
    prefix = _active_key(api, which)["prefix"]
    revoked = api.post("keys", prefix, "revoke", body={})
    if as_json:
        print_json(revoked)
    else:
        click.echo(f"Revoked {revoked['name']} ({revoked['prefix']}…).")


@command.command()
@click.argument("which", metavar="KEY")
@click.option(
    "--hours",
    type=click.Choice(["1", "8", "24"]),
    default="1",
    show_default=True,
    help="For how long, from now.",
)
@click.option("--end", is_flag=True, help="End it.")
@json_option
@administering
def capture(
    api: AdminApi, /, *, which: str, hours: str, end: bool, as_json: bool
) -> None:
    """Capture the bodies of a key's requests and answers for a while.

    Its owner sees that, and the audit log has it.
    """
    prefix = _active_key(api, which)["prefix"]
    if end:
        key = api.delete("keys", prefix, "capture")
    else:
        key = api.post("keys", prefix, "capture", body={"hours": int(hours)})
    if as_json:
        print_json(key)
    elif key["captured_until"]:
        click.echo(f"Captured until {minute(key['captured_until'])}: {key['name']}.")
    else:
        click.echo(f"Not captured any more: {key['name']}.")


def _print_secret(created: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(created)
        return
    click.echo(created["secret"])
    click.echo("Keep this key: it is not stored and cannot be shown again.", err=True)


def _active_key(api: AdminApi, which: str) -> dict[str, Any]:
    keys: list[dict[str, Any]] = api.all_of("keys", "prefix", state="active")["data"]
    found = [key for key in keys if which in (key["prefix"], key["name"])]
    if not found:
        raise CommandFailed(
            f"There is no active key '{which}'. `llm-manager key list` shows the keys.",
            ExitStatus.NOT_FOUND,
        )
    if len(found) > 1:
        prefixes = ", ".join(key["prefix"] for key in found)
        raise CommandFailed(
            f"Several keys have the name '{which}'; use a prefix: {prefixes}."
        )
    return found[0]


def _only_admin(api: AdminApi) -> str:
    users = api.all_of("users", "username")["data"]
    admins = [user for user in users if user["is_superuser"] and user["is_active"]]
    if len(admins) != 1:
        count = "are several administrators" if admins else "is no active administrator"
        raise CommandFailed(
            f"There {count}: name the key's owner with --owner.",
            ExitStatus.WRONG_USAGE,
        )
    name: str = admins[0]["username"]
    return name


def _moment_after(text: str) -> str:
    """Return the time after so many days, as ``90d``. Raises UsageError."""
    days = text.removesuffix("d")
    if not days.isdecimal() or not 1 <= int(days) <= _MAX_DAYS:
        raise click.UsageError(
            f"--expires {text}: a number of days is expected, from 1 to {_MAX_DAYS}, "
            "as 90d."
        )
    return (datetime.now(UTC) + timedelta(days=int(days))).isoformat()
