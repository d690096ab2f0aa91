"""``manage.py create_api_key``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts import key_secrets as keys
from accounts.models import ApiKey, Scope
from tests.factories import make_model, make_user

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> str:
    """Run the command for the user alice; return its standard output."""
    output = StringIO()
    call_command(
        *("create_api_key", "laptop", "--owner", "alice", *arguments),
        stdout=output,
        stderr=StringIO(),
    )
    return output.getvalue()


def test_the_secret_is_all_that_is_printed_and_it_fits_the_key() -> None:
    alice = make_user("alice")

    secret = create().removesuffix("\n")

    key = ApiKey.objects.get()
    assert keys.matches(secret, key.key_hash)
    assert (key.name, key.owner, key.scopes) == ("laptop", alice, ["inference"])
    assert (key.expires_at, key.rate_limit, key.weight) == (None, None, 1)
    assert not key.allowed_models.exists()


def test_everything_can_be_set_and_printed_as_json() -> None:
    make_user("alice")
    model = make_model("org/tiny")

    printed: dict[str, Any] = json.loads(
        create(
            *("--scopes", "inference, models,inference", "--models", "org/tiny"),
            *("--expires-days", "30", "--rate-limit", "5", "--weight", "2", "--json"),
        )
    )

    key = ApiKey.objects.get()
    assert keys.matches(printed.pop("key"), key.key_hash)
    assert key.expires_at is not None
    assert key.expires_at - timezone.now() > timedelta(days=29, hours=23)
    assert list(key.allowed_models.all()) == [model]
    assert printed == {
        "prefix": key.prefix,
        "name": "laptop",
        "owner": "alice",
        "scopes": [Scope.INFERENCE, Scope.MODELS],
        "models": ["org/tiny"],
        "expires_at": key.expires_at.isoformat(),
        "rate_limit": 5,
        "weight": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--owner", "bob"], "There is no user 'bob'"),
        (["--owner", "gone"], "inactive"),
        (["--scopes", "inference,root"], "Unknown scope: root. Choose from inference"),
        (["--scopes", ","], "Choose from"),
        (["--models", "nothing"], "There is no model 'nothing'"),
        (["--expires-days", "0"], "must be from 1 to 36500"),
        (["--rate-limit", "-1"], "rate_limit: Ensure this value is greater"),
        (["--weight", "0"], "weight: Enter a number from 0.01 to 100"),
        (["--weight", "nan"], "weight: Enter a number from 0.01 to 100"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_created(
    arguments: list[str], message: str
) -> None:
    make_user("alice")
    make_user("gone", is_active=False)

    with pytest.raises(CommandError, match=message):
        create(*arguments)

    assert not ApiKey.objects.exists()
