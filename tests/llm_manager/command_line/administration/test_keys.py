"""`llm-manager key`: create, list, rotate, revoke."""

from __future__ import annotations

import functools
import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import key_secrets
from accounts.models import ApiKey, Scope
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.llm_manager.command_line.administration.conftest import BOTH, DATABASE, Verbs

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(verbs: Verbs) -> Any:
    """Run `llm-manager key …`; return the status and what it prints."""
    return functools.partial(verbs, "key")


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
    status, _, said = key("create", "--name", "x")
    assert status == 2
    assert (
        "There is no active administrator: name the key's owner with --owner." in said
    )
    make_user("alice")
    assert key("create", "--name", "x", "--owner", "alice", "--json")[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scopes", "all"], "scopes[0]"),
        (["--models", "nope"], "there is no model 'nope'"),
        (["--expires", "soon"], "a number of days is expected"),
        (["--weight", "0"], "'weight': "),
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
    listed = json.loads(key("list", "--json")[1])["data"]
    states = {each["name"]: each["state"] for each in listed}
    assert states == {"old": "expired", "used": "active", "gone": "revoked"}
    assert "key_hash" not in listed[0]
    _, *lines = key("list")[1].splitlines()
    assert {line.split()[0]: line.split()[-1] for line in lines} == states


@BOTH
def test_a_key_is_made_rotated_and_revoked(door: Verbs) -> None:
    make_team("red", make_user("anna"))
    options = ["--owner", "anna", "--team", "red"]
    made = door.json("key", "create", "--name", "laptop", *options)
    old = ApiKey.objects.get(name="laptop")
    assert key_secrets.matches(made["secret"], old.key_hash)
    assert (str(old.team), old.all_models) == ("red", True)
    rotated = door.json("key", "rotate", "laptop", "--grace", "0")
    assert rotated["key"]["rotated_from"] == old.prefix
    listed = door.json("key", "list", "--team", "red")["data"]
    assert [key["state"] for key in listed] == ["active", "revoked"]
    prefix = rotated["key"]["prefix"]
    status, printed, said = door("key", "capture", prefix, "--hours", "8")
    if status:
        assert "accounts.capture_apikey" in said
    else:
        assert "Captured until" in printed
        ended = door.json("key", "capture", prefix, "--end")
        assert ended["captured_until"] is None
    status, printed, _ = door("key", "revoke", prefix)
    assert (status, prefix in printed) == (0, True)
    assert not ApiKey.objects.get(prefix=prefix).is_active


def test_a_change_is_asked_of_the_server_that_answers(server: Verbs) -> None:
    make_user("boss", is_superuser=True)
    server.json("key", "create", "--name", "x")
    assert server.requests == [
        ("GET", "/v1/admin/users?limit=1"),
        ("GET", "/v1/admin/users?limit=1000"),
        ("POST", "/v1/admin/keys"),
    ]
    assert str(ApiKey.objects.get(name="x").created_by) == "robot"


def test_a_key_without_the_scope_is_refused(
    server: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = make_api_key(scopes=[Scope.INFERENCE])
    monkeypatch.setenv("LLM_MANAGER_KEY", secret)
    status, _, sentence = server("key", "list")
    assert (status, "admin" in sentence) == (4, True)


def test_on_the_servers_machine_no_key_is_needed(
    server: Verbs, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_user("boss", is_superuser=True)
    monkeypatch.delenv("LLM_MANAGER_URL")
    monkeypatch.delenv("LLM_MANAGER_KEY")
    monkeypatch.setattr(DATABASE, lambda _: True)
    status, _, said = server("key", "create", "--name", "first")
    assert status == 0
    assert "no key is known: the database of " in said
    # One that was given is not passed over.
    assert server("key", "list", "--key", "sk-llmm-wrong")[0] == 4
    quickstart = "llm_manager.command_line.remote.connection._quickstart_key"
    monkeypatch.setattr(quickstart, lambda _: "sk-llmm-wrong")
    # It goes to a server that runs on the data directory only.
    address = "llm_manager.launcher.files.address.read_address"
    monkeypatch.setattr(address, lambda _: "http://127.0.0.1:8000")
    status, _, said = server("key", "list")
    assert status == 0
    assert "the key in quickstart.json is refused: the database of " in said


def test_without_a_server_the_database_is_used_and_that_is_said(key: Any) -> None:
    status, _, said = key("list")
    assert status == 0
    assert "no server runs: the database of " in said
    assert key("list", "--url", "http://there")[0] == 3
