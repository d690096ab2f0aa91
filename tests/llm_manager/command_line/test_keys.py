"""`llm-manager key`: create, list, revoke."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import key_secrets
from accounts.models import ApiKey
from llm_manager import cli
from tests.factories import make_model, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's database is the data directory's."""
    monkeypatch.setattr("llm_manager.command_line.local_rows.has_database", lambda _: 1)


@pytest.fixture
def key(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run `llm-manager key …`; return the status and what it prints."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = cli.run(["key", *arguments])
        return status, *capsys.readouterr()

    return run


def test_the_secret_is_printed_once_and_fits_the_key(key: Any) -> None:
    make_user("root", is_superuser=True)
    make_model("tiny")
    options = ["--scopes", "inference,models", "--models", "tiny", "--expires", "90d"]
    status, secret, note = key("create", "--name", "laptop", *options)
    created = ApiKey.objects.get()
    assert status == 0
    assert key_secrets.matches(secret.strip(), created.key_hash)
    assert "cannot be shown again" in note
    assert created.owner.get_username() == "root"
    assert created.scopes == ["inference", "models"]
    assert created.expires_at is not None
    assert created.expires_at - timezone.now() > timedelta(days=89)
    assert secret.strip() not in key("list")[1]


def test_without_one_administrator_the_owner_is_asked_for(key: Any) -> None:
    assert key("create", "--name", "x")[::2] == (
        2,
        "llm-manager: There is no active administrator: name the key's owner with "
        "--owner.\n",
    )
    make_user("alice")
    assert key("create", "--name", "x", "--owner", "alice", "--json")[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scopes", "all"], "Unknown scope: all"),
        (["--models", "nope"], "There is no model 'nope'"),
        (["--expires", "soon"], "a number of days is expected"),
        (["--weight", "0"], "weight: "),
    ],
)
def test_what_a_key_cannot_be_is_refused(
    key: Any, options: list[str], said: str
) -> None:
    make_user("root", is_superuser=True)
    status, _, sentence = key("create", "--name", "x", *options)
    assert status in (1, 2)
    assert said in sentence
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_by_its_name_or_its_prefix(key: Any) -> None:
    owner = make_user("root")
    for name in ("laptop", "phone", "phone"):
        ApiKey.objects.issue(name=name, owner=owner, scopes=["inference"])
    assert key("revoke", "laptop")[0] == 0
    assert not ApiKey.objects.get(name="laptop").is_active
    assert key("revoke", "laptop")[0] == 5
    status, _, sentence = key("revoke", "phone")
    prefixes = [each.prefix for each in ApiKey.objects.filter(name="phone")]
    assert status == 1
    assert all(prefix in sentence for prefix in prefixes)
    assert key("revoke", prefixes[0])[0] == 0
    assert ApiKey.objects.usable().count() == 1


def test_the_list_has_every_key_and_its_state(key: Any) -> None:
    owner = make_user("root")
    past = timezone.now() - timedelta(days=1)
    for name, expires_at in (("old", past), ("used", None), ("gone", None)):
        ApiKey.objects.issue(
            name=name, owner=owner, scopes=["inference"], expires_at=expires_at
        )
    ApiKey.objects.get(name="gone").revoke()
    listed = json.loads(key("list", "--json")[1])
    states = {each["name"]: each["state"] for each in listed}
    assert states == {"old": "expired", "used": "active", "gone": "revoked"}
    assert "key_hash" not in listed[0]
    _, *lines = key("list")[1].splitlines()
    assert {line.split()[0]: line.split()[-1] for line in lines} == states


def test_keys_of_another_server_are_not_looked_for_here(key: Any) -> None:
    os.environ["LLM_MANAGER_URL"] = "http://elsewhere"
    status, _, sentence = key("list")
    assert status == 1
    assert "on the server's machine" in sentence
