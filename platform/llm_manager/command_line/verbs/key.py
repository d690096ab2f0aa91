"""``llm-manager key``: API keys."""

from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.options import places
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.completion import ModelName
from llm_manager.command_line.remote.connection import URL_VARIABLE

if TYPE_CHECKING:
    from accounts.models import ApiKey


@click.group()
def command() -> None:
    """Create, list and revoke API keys, on the server's machine."""


@command.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--owner", metavar="USER", help="User name of the owner (default: the only admin)."
)
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
@places
def create(
    *,
    name: str,
    owner: str | None,
    scopes: str,
    models: tuple[str, ...],
    expires: str | None,
    rate_limit: int | None,
    weight: float | None,
    as_json: bool,
    **where: str | None,
) -> None:
    """Create a key and print its secret, which cannot be shown again."""
    days = None if expires is None else _days(expires)
    _open_database(**where)
    from django.core.management import CommandError, call_command

    options = {"expires_days": days, "rate_limit": rate_limit, "weight": weight}
    printed = io.StringIO()
    try:
        call_command(
            "create_api_key",
            name,
            owner=owner or _only_admin(),
            scopes=scopes,
            models=list(models),
            json=True,
            stdout=printed,
            **{key: value for key, value in options.items() if value is not None},
        )
    except CommandError as error:
        raise CommandFailed(str(error)) from None
    created = json.loads(printed.getvalue())
    if as_json:
        print_json(created)
        return
    click.echo(created["key"])
    click.echo("Keep this key: it is not stored and cannot be shown again.", err=True)


@command.command("list")
@json_option
@places
def list_keys(*, as_json: bool, **where: str | None) -> None:
    """List the keys; their secrets are not stored."""
    _open_database(**where)
    from accounts.models import ApiKey

    rows = ApiKey.objects.select_related("owner").prefetch_related("allowed_models")
    keys = [_described(key) for key in rows]
    if as_json:
        print_json(keys)
        return
    print_table(
        (
            "name",
            "prefix",
            "owner",
            "scopes",
            "models",
            "expires",
            "last used",
            "state",
        ),
        (
            (
                key["name"],
                key["prefix"],
                key["owner"],
                ", ".join(key["scopes"]),
                "all" if key["all_models"] else ", ".join(key["models"]) or "none",
                _minute(key["expires_at"]) or "never",
                _minute(key["last_used_at"]) or "never",
                key["state"],
            )
            for key in keys
        ),
    )


@command.command()
@click.argument("key")
@json_option
@places
def revoke(*, key: str, as_json: bool, **where: str | None) -> None:
    """Revoke a key for good, by its prefix or its name."""
    _open_database(**where)
    from django.db.models import Q

    from accounts.models import ApiKey

    found = list(ApiKey.objects.filter(Q(prefix=key) | Q(name=key), is_active=True))
    if not found:
        raise CommandFailed(
            f"There is no active key '{key}'. `llm-manager key list` shows the keys.",
            ExitStatus.NOT_FOUND,
        )
    if len(found) > 1:
        prefixes = ", ".join(each.prefix for each in found)
        raise CommandFailed(
            f"Several keys have the name '{key}'; use a prefix: {prefixes}."
        )
    [revoked] = found
    revoked.revoke()
    if as_json:
        print_json(_described(revoked))
    else:
        click.echo(f"Revoked {revoked}.")


def _open_database(**where: str | None) -> None:
    """Load Django for the database of the data directory. Raises CommandFailed."""
    from llm_manager.command_line.django_setup import load_django
    from llm_manager.command_line.local_rows import has_database
    from llm_manager.config.reading import load_config

    set_environment(**where)
    if os.environ.get(URL_VARIABLE):
        raise CommandFailed(
            f"Keys are managed on the server's machine, and {URL_VARIABLE} is set: "
            "run this there, or without it for the database of this machine."
        )
    config = load_config()
    if not has_database(config):
        raise CommandFailed(
            f"There is no database in {config.data_dir}: `llm-manager server` creates "
            "it, and --data-dir names another folder.",
            ExitStatus.NOT_FOUND,
        )
    load_django()


def _only_admin() -> str:
    from django.contrib.auth import get_user_model

    admins = get_user_model().objects.filter(is_superuser=True, is_active=True)
    names = [admin.get_username() for admin in admins[:2]]
    if len(names) != 1:
        count = "no active administrator" if not names else "several administrators"
        raise CommandFailed(
            f"There is {count}: name the key's owner with --owner.",
            ExitStatus.WRONG_USAGE,
        )
    return names[0]


def _days(text: str) -> int:
    try:
        return int(text.removesuffix("d"))
    except ValueError:
        raise click.UsageError(
            f"--expires {text}: a number of days is expected, as 90d."
        ) from None


def _described(key: ApiKey) -> dict[str, Any]:
    """Return a key as JSON, without its hash."""
    state = "active" if key.is_usable else "expired" if key.is_active else "revoked"
    return {
        "name": key.name,
        "prefix": key.prefix,
        "owner": key.owner.get_username(),
        "scopes": key.scopes,
        "all_models": key.all_models,
        "models": sorted(model.name for model in key.allowed_models.all()),
        "expires_at": key.expires_at and key.expires_at.isoformat(),
        "rate_limit": key.rate_limit,
        "weight": key.weight,
        "created_at": key.created_at.isoformat(),
        "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
        "state": state,
    }


def _minute(moment: str | None) -> str | None:
    """Return an ISO time up to its minute."""
    return moment and moment[:16].replace("T", " ")
