"""Forms that show secrets are valid once, whatever database keeps the sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.urls import reverse

from accounts.forms import TableForm
from accounts.models import ApiKey
from accounts.pages import keys as own_keys
from accounts.services import api_key_create
from tests.accounts.test_admin import ADD, SECRET, new_form
from tests.factories import make_api_key, make_team, make_user

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client, RequestFactory

# As the server runs them: the pages that are no admin forms have no transaction.
in_autocommit = pytest.mark.django_db(transaction=True)
in_transaction = pytest.mark.django_db

NEW = "/account/keys/new/"
IMPORT = "/admin/accounts/apikey/import/"


def id_on(answer: Any) -> str:
    form_id: str = answer.context["form"]["form_id"].value()
    return form_id


def send(client: Client, page: str, **body: Any) -> Any:
    """Open a page's form and send it."""
    return client.post(page, {"form_id": id_on(client.get(page)), **body})


def own_rotation(key: ApiKey) -> str:
    return reverse("account_rotate_key", args=[key.prefix])


def rotation(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_rotate", args=[key.pk])


def has_secret(answer: Any) -> bool:
    return bool(SECRET.search(answer.content.decode()))


@in_autocommit
def test_every_page_that_shows_secrets_answers_outside_a_transaction(
    admin_client: Client, admin_user: User
) -> None:
    team = make_team("red", admin_user)
    key, _ = make_api_key(admin_user, team=team)
    body = {"name": "laptop", "team": team.pk, "all_models": "on"}
    assert has_secret(send(admin_client, NEW, **body))
    assert has_secret(send(admin_client, own_rotation(key), grace="24"))
    assert has_secret(send(admin_client, rotation(key), grace="24"))
    table = f"name,owner,models\nSearch,{admin_user},*\n"
    assert has_secret(send(admin_client, IMPORT, text=table))
    assert ApiKey.objects.count() == 5


@in_transaction
def test_a_form_that_the_model_refuses_is_not_used_up(
    admin_client: Client, admin_user: User
) -> None:
    team = make_team("red")
    body = new_form(admin_client, admin_user, team=team.pk)
    assert "not a member" in admin_client.post(ADD, body).content.decode()
    team.group.user_set.add(admin_user)
    assert has_secret(admin_client.post(ADD, body))


@in_transaction
@pytest.mark.parametrize("page", [own_rotation, rotation])
def test_a_rotation_that_is_refused_says_why_and_can_be_sent_again(
    admin_client: Client, admin_user: User, page: Any
) -> None:
    team = make_team("red")
    key, _ = make_api_key(admin_user)
    ApiKey.objects.filter(pk=key.pk).update(team=team)
    refused = send(admin_client, page(key), grace="24")
    assert "not a member of the team" in refused.content.decode()
    assert ApiKey.objects.count() == 1
    team.group.user_set.add(admin_user)
    body = {"form_id": id_on(refused), "grace": "24"}
    assert has_secret(admin_client.post(page(key), body))


@in_transaction
def test_a_key_that_is_refused_can_be_sent_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = make_user("anna")
    client.force_login(anna)
    team = make_team("red", anna)
    make_team("blue", anna)

    def after_leaving(**fields: Any) -> Any:
        anna.groups.remove(team.group)
        return api_key_create(**fields)

    monkeypatch.setattr(own_keys, "api_key_create", after_leaving)
    body = {"name": "laptop", "team": team.pk, "all_models": "on"}
    refused = send(client, NEW, **body)
    assert "not a member of the team" in refused.content.decode()
    monkeypatch.undo()
    anna.groups.add(team.group)
    assert has_secret(client.post(NEW, {"form_id": id_on(refused), **body}))


@in_transaction
def test_the_loser_of_a_double_click_opens_no_used_form_again(
    admin_client: Client, admin_user: User, rf: RequestFactory
) -> None:
    body = {"form_id": id_on(admin_client.get(IMPORT)), "text": "name,owner"}

    def clicked() -> TableForm:
        request = rf.post(IMPORT, body)
        request.user = admin_user
        request.session = SessionStore(admin_client.session.session_key)
        request.session.get("api_key_forms")
        return TableForm(request.POST, request=request)

    winner, loser = clicked(), clicked()
    assert [winner.is_valid(), loser.is_valid()] == [True, False]
    # The middleware saves the sessions of both.
    loser.request.session.save()
    assert not clicked().is_valid()


@in_transaction
def test_rotating_with_a_grace_period_makes_no_keys_without_end(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_keys, "MAX_KEYS", 2)
    anna = make_user("anna")
    client.force_login(anna)
    key, _ = make_api_key(anna, created_by=anna)
    assert has_secret(send(client, own_rotation(key), grace="24"))
    refused = send(client, own_rotation(key), grace="24")
    assert "active keys; revoke some" in refused.content.decode()
    assert not has_secret(refused)
    assert ApiKey.objects.count() == 2
    # The new one takes the place of the old one: a key that leaked can be replaced.
    body = {"form_id": id_on(refused), "grace": "0"}
    assert has_secret(client.post(own_rotation(key), body))
    assert ApiKey.objects.usable().count() == 2
