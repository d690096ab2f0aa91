"""``manage.py create_api_key``: creates an API key and prints its secret, once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import Scope
from accounts.services import api_key_create

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django.contrib.auth.models import User

    from registry.models import Model

_MAX_DAYS = 36_500


class Command(BaseCommand):
    """Creates an API key; only the secret goes to standard output."""

    help = "Create an API key and print its secret, which cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", help="What the key is for.")
        parser.add_argument("--owner", required=True, help="User name of the owner.")
        parser.add_argument(
            "--scopes",
            default=Scope.INFERENCE.value,
            help=f"Comma-separated: {', '.join(Scope.values)}. Default: inference.",
        )
        parser.add_argument(
            "--models",
            nargs="+",
            default=[],
            metavar="ID",
            help="Models that the key may use. Default: all.",
        )
        parser.add_argument(
            "--expires-days", type=int, help="Days until it expires. Default: never."
        )
        parser.add_argument(
            "--rate-limit",
            type=int,
            help="Requests in a window; 0 is no limit. Default: server.rate_limit.",
        )
        parser.add_argument(
            "--weight",
            type=float,
            default=1.0,
            help="Share of a busy model, relative to other keys. Default: 1.",
        )
        parser.add_argument(
            "--json", action="store_true", help="Print the key as a JSON object."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the key. Raises CommandError."""
        owner = _owner(options["owner"])
        models = [_model(name) for name in options["models"]]
        try:
            key, secret = api_key_create(
                name=options["name"],
                owner=owner,
                scopes=_scopes(options["scopes"]),
                models=models or None,
                expires_at=_expiry(options["expires_days"]),
                rate_limit=options["rate_limit"],
                weight=options["weight"],
            )
        except ValidationError as error:
            problems = [
                f"{field}: {' '.join(messages)}"
                for field, messages in error.message_dict.items()
            ]
            raise CommandError("; ".join(problems)) from None
        if options["json"]:
            answer = {
                "key": secret,
                "prefix": key.prefix,
                "name": key.name,
                "owner": owner.get_username(),
                "scopes": key.scopes,
                "models": [model.name for model in models],
                "expires_at": key.expires_at and key.expires_at.isoformat(),
                "rate_limit": key.rate_limit,
                "weight": key.weight,
            }
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(secret)
            self.stderr.write(
                "Keep this key: it is not stored and cannot be shown again."
            )


def _owner(username: str) -> User:
    users = get_user_model()
    try:
        user: User = users.objects.get_by_natural_key(username)
    except users.DoesNotExist:
        raise CommandError(
            f"There is no user '{username}'. Create one in the admin or with "
            "'createsuperuser'."
        ) from None
    if not user.is_active:
        raise CommandError(
            f"The user '{username}' is inactive, so the key would not work."
        )
    return user


def _scopes(text: str) -> list[str]:
    scopes = [scope.strip() for scope in text.split(",") if scope.strip()]
    unknown = sorted(set(scopes) - set(Scope.values))
    if unknown or not scopes:
        named = f"Unknown scope: {', '.join(unknown)}. " if unknown else ""
        raise CommandError(f"{named}Choose from {', '.join(Scope.values)}.")
    return list(dict.fromkeys(scopes))


def _model(name: str) -> Model:
    # By name, so that this module does not import the registry's models.
    models: type[Model] = apps.get_model("registry", "Model")
    try:
        return models.objects.get(name=name)
    except models.DoesNotExist:
        raise CommandError(
            f"There is no model '{name}'. Use a model's id; scan_models finds new "
            "models."
        ) from None


def _expiry(days: int | None) -> datetime | None:
    if days is None:
        return None
    if not 1 <= days <= _MAX_DAYS:
        raise CommandError(f"--expires-days must be from 1 to {_MAX_DAYS}.")
    return timezone.now() + timedelta(days=days)
