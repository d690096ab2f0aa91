"""Users' own pages: their keys, within the bounds of their teams."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from accounts import key_secrets as keys
from accounts.models import ApiKey, UsageDay
from accounts.pages.keys import MAX_KEYS
from accounts.usage.summary import today
from tests.accounts.test_admin import SECRET
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

pytestmark = pytest.mark.django_db

NEW = "/account/keys/new/"


@pytest.fixture
def anna(client: Client) -> User:
    """A user without staff rights, logged in."""
    anna = make_user("anna")
    client.force_login(anna)
    return anna


def form_of(client: Client, page: str = NEW) -> dict[str, Any]:
    return {"form_id": client.get(page).context["form"]["form_id"].value()}


def test_the_page_has_the_keys_the_teams_the_address_and_examples(
    client: Client, anna: User
) -> None:
    team = make_team("red", anna, all_models=False)
    team.allowed_models.add(make_model("tiny"))
    key, _ = make_api_key(anna, name="Search", team=team)
    make_api_key(name="Hidden")
    html = client.get("/account/").content.decode()
    for text in ("Search", key.prefix, "red", "tiny", "http://testserver/v1", "curl"):
        assert text in html
    assert "Hidden" not in html
    assert '"model": "tiny"' in html


def test_a_user_makes_a_key_of_a_team_and_sees_its_secret_once(
    client: Client, anna: User
) -> None:
    team = make_team("red", anna, all_models=False)
    model = make_model("tiny")
    team.allowed_models.add(model)
    body = {
        **form_of(client),
        "name": "laptop",
        "team": team.pk,
        "models": [model.pk],
        "allowed_networks": "10.0.0.0/8",
        "expires_on": "2999-12-31",
        "notes": "mine",
    }
    html = client.post(NEW, body).content.decode()
    secret = SECRET.search(html)
    assert secret is not None
    key = ApiKey.objects.get()
    assert keys.matches(secret[0], key.key_hash)
    assert (key.owner, key.created_by, key.team) == (anna, anna, team)
    assert (key.scopes, key.rate_limit, key.weight) == (["inference"], None, 1)
    assert (key.all_models, list(key.allowed_models.all())) == (False, [model])
    assert key.allowed_networks == ["10.0.0.0/8"]
    assert f"{key.expires_at:%Y-%m-%d %H:%M}" == "2999-12-31 23:59"

    again = client.post(NEW, body).content.decode()
    assert "already submitted" in again
    assert not SECRET.search(again)
    assert ApiKey.objects.count() == 1


def test_a_key_goes_beyond_no_team(client: Client, anna: User) -> None:
    mine = make_team("mine", anna, all_models=False)
    other = make_team("other")
    allowed, secret_model = make_model("allowed"), make_model("secret-model")
    mine.allowed_models.add(allowed)
    assert "secret-model" not in client.get(NEW).content.decode()
    good = {"name": "x", "team": mine.pk, "models": [allowed.pk]}
    changes: list[dict[str, Any]] = [
        {"team": other.pk},
        {"models": [secret_model.pk]},
        {"models": []},
        {"all_models": "on"},
        {"allowed_networks": "home"},
        {"expires_on": "2001-01-01"},
    ]
    for change in changes:
        answer = client.post(NEW, {**form_of(client), **good, **change})
        assert not SECRET.search(answer.content.decode()), change
    assert not ApiKey.objects.exists()
    # Nor can scopes and limits be sent along.
    body = {**form_of(client), **good, "scopes": ["admin"], "rate_limit": 0}
    client.post(NEW, body)
    key = ApiKey.objects.get()
    assert (key.scopes, key.rate_limit) == (["inference"], None)


def test_of_two_teams_each_allows_its_own_models(client: Client, anna: User) -> None:
    red = make_team("red", anna, all_models=False)
    blue = make_team("blue", anna, all_models=False)
    model = make_model("for-blue")
    blue.allowed_models.add(model)
    body = {"name": "x", "models": [model.pk]}
    refused = client.post(NEW, {**form_of(client), **body, "team": red.pk})
    assert "may not use for-blue" in refused.content.decode()
    made = client.post(NEW, {**form_of(client), **body, "team": blue.pk})
    assert SECRET.search(made.content.decode())


def test_who_is_in_no_team_makes_no_key(client: Client, anna: User) -> None:
    assert "in no team yet" in client.get(NEW).content.decode()
    client.post(NEW, {**form_of(client), "name": "x", "all_models": "on"})
    assert not ApiKey.objects.exists()


def test_nobody_makes_keys_without_end(client: Client, anna: User) -> None:
    team = make_team("red", anna)
    for _ in range(MAX_KEYS):
        make_api_key(anna, created_by=anna, team=team)
    answer = client.get(NEW, follow=True)
    assert f"You have {MAX_KEYS} active keys" in answer.content.decode()


def test_a_user_rotates_and_revokes_a_key(client: Client, anna: User) -> None:
    team = make_team("red", anna)
    key, _ = make_api_key(anna, team=team, name="laptop")
    page = f"/account/keys/{key.prefix}/rotate/"
    body = {**form_of(client, page), "grace": "24"}
    assert SECRET.search(client.post(page, body).content.decode())
    new = ApiKey.objects.get(rotated_from=key)
    assert (new.owner, new.team) == (anna, team)

    page = f"/account/keys/{new.prefix}/revoke/"
    assert "cannot be undone" in client.get(page).content.decode()
    new.refresh_from_db()
    assert new.is_active
    client.post(page)
    new.refresh_from_db()
    assert (new.is_active, new.revoked_by) == (False, anna)


def test_an_ended_key_has_no_buttons(client: Client, anna: User) -> None:
    key, _ = make_api_key(anna, expires_at=timezone.now() - timedelta(days=1))
    assert "Rotate…" not in client.get("/account/").content.decode()
    page = f"/account/keys/{key.prefix}/rotate/"
    assert client.get(page)["Location"] == "/account/"


def test_the_page_says_what_the_keys_used(client: Client, anna: User) -> None:
    key, _ = make_api_key(anna)
    UsageDay.objects.create(
        day=today(),
        key_id=key.pk,
        key_prefix=key.prefix,
        owner_id=anna.pk,
        owner_name="anna",
        requests=3,
        prompt_tokens=70,
        completion_tokens=8,
    )
    make_api_key(anna)
    html = client.get("/account/").content.decode()
    assert "3 requests, 70 + 8 tokens in 30 days" in html
    assert "no request in 30 days" in html
