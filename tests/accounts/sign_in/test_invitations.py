"""Invitations: links that work once, for a while."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from auditlog.models import LogEntry
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import timezone

from accounts.models import Invitation, Limit, LimitKind
from accounts.sign_in import view_rights
from accounts.sign_in.invitations import invitation_accept, invitation_create
from tests.configuration import changed
from tests.factories import make_model, make_team, make_user

if TYPE_CHECKING:
    from accounts.models import Team

pytestmark = pytest.mark.django_db

ADD = "/admin/accounts/invitation/add/"
FORM = {
    "username": "anna",
    "password1": "correct horse battery",
    "password2": "correct horse battery",
}


@pytest.fixture
def team() -> Team:
    return make_team("red")


def link_of(token: str) -> str:
    return f"/account/invite/{token}/"


def test_who_is_invited_makes_an_account_in_the_teams_and_is_logged_in(
    client: Client, team: Team
) -> None:
    _, token = invitation_create(days=1, teams=[team])
    assert "red" in client.get(link_of(token)).content.decode()

    answer = client.post(link_of(token), FORM)

    assert answer["Location"] == "/account/"
    anna = User.objects.get(username="anna")
    assert (anna.is_staff, anna.is_superuser) == (False, False)
    assert team.has_member(anna)
    assert client.get("/account/").status_code == 200
    assert Invitation.objects.get().used_by == anna


def test_the_audit_log_has_no_link(client: Client, team: Team) -> None:
    _, token = invitation_create(days=1, teams=[team])
    client.post(link_of(token), FORM)
    vias = [entry.additional_data["via"] for entry in LogEntry.objects.all()]
    assert "page /account/invite/…/" in vias
    assert not any(token in via for via in vias)


def test_a_link_works_once(client: Client) -> None:
    _, token = invitation_create(days=1)
    Client().post(link_of(token), FORM)
    answer = client.post(link_of(token), FORM | {"username": "bob"})
    assert answer.status_code == 404
    assert "was used, has expired" in answer.content.decode()
    assert not User.objects.filter(username="bob").exists()


def test_a_link_that_has_expired_or_was_withdrawn_makes_nobody(client: Client) -> None:
    late, token = invitation_create(days=1)
    Invitation.objects.filter(pk=late.pk).update(expires_at=timezone.now())
    assert client.post(link_of(token), FORM).status_code == 404
    withdrawn, other = invitation_create(days=1)
    withdrawn.delete()
    assert client.post(link_of(other), FORM).status_code == 404
    assert client.get(link_of("nonsense")).status_code == 404
    assert not User.objects.exists()


def test_a_weak_password_leaves_the_link_open(client: Client) -> None:
    invitation, token = invitation_create(days=1)
    body = FORM | {"password1": "12345", "password2": "12345"}
    assert "too short" in client.post(link_of(token), body).content.decode()
    assert not User.objects.exists()
    invitation.refresh_from_db()
    assert invitation.is_open


def test_who_has_an_account_joins_the_teams_with_it(client: Client, team: Team) -> None:
    bob = make_user("bob")
    client.force_login(bob)
    _, token = invitation_create(days=1, teams=[team])
    assert "Accept as bob" in client.get(link_of(token)).content.decode()
    assert client.post(link_of(token))["Location"] == "/account/"
    assert team.has_member(bob)


def test_the_second_of_two_who_come_at_once_is_refused() -> None:
    _, token = invitation_create(days=1)
    invitation_accept(token=token, user=make_user())
    with pytest.raises(ValidationError, match="was used"):
        invitation_accept(token=token, user=make_user())


@pytest.mark.parametrize("days", [0, 91])
def test_a_link_lasts_from_a_day_to_ninety(days: int) -> None:
    with pytest.raises(ValidationError, match="from 1 to 90"):
        invitation_create(days=days)


def test_without_passwords_an_invitation_leads_to_the_provider(
    client: Client, settings: Any
) -> None:
    settings.CONFIG = changed(
        settings.CONFIG, auth__passwords=False, oidc__issuer="https://id.example.org"
    )
    _, token = invitation_create(days=1)
    html = client.get(link_of(token)).content.decode()
    assert "password1" not in html
    answer = client.get(link_of(token), {"provider": "yes"})
    assert answer["Location"] == "/account/oidc/sso/login/"
    assert client.session["invitation"] == token
    client.post(link_of(token), FORM)
    assert not User.objects.exists()


def test_the_admin_shows_the_link_once_and_logs_no_secret(
    admin_client: Client, team: Team
) -> None:
    form = admin_client.get(ADD).context["adminform"].form
    body = {
        "note": "Anna",
        "teams": [team.pk],
        "days": 7,
        "form_id": form["form_id"].value(),
    }
    html = admin_client.post(ADD, body).content.decode()
    found = re.search(r"/account/invite/([\w-]{43})/", html)
    assert found is not None
    invitation = Invitation.objects.get()
    assert invitation.expires_at - timezone.now() > timedelta(days=6, hours=23)
    assert list(invitation.teams.all()) == [team]
    log = [str(entry.changes) for entry in LogEntry.objects.all()]
    assert not any(found[1] in line or invitation.token_hash in line for line in log)

    again = admin_client.post(ADD, body).content.decode()
    assert "already submitted" in again
    assert found[1] not in again
    listed = admin_client.get("/admin/accounts/invitation/").content.decode()
    assert "Anna" in listed
    page = f"/admin/accounts/invitation/{invitation.pk}/change/"
    assert found[1] not in admin_client.get(page).content.decode()


def test_a_colleague_with_view_rights_sees_the_admin_and_no_captured_body(
    client: Client,
) -> None:
    _, token = invitation_create(
        days=1, views_admin=True, created_by=make_user("root", is_superuser=True)
    )
    assert "change nothing" in client.get(link_of(token)).content.decode()
    assert client.post(link_of(token), FORM)["Location"] == "/admin/"
    anna = User.objects.get(username="anna")
    assert (anna.is_staff, anna.is_superuser) == (True, False)
    given = anna.get_all_permissions()
    assert given == {
        "{}.view_{}".format(*name.split(".")) for name in view_rights.VIEWED
    }
    assert client.get("/admin/registry/model/").status_code == 200
    page = f"/admin/auth/user/{anna.pk}/change/"
    assert "password" not in client.get(page).context["adminform"].readonly_fields
    assert "algorithm" not in client.get(page).content.decode()
    limit = Limit.objects.create(kind=LimitKind.TOKENS_MONTH, amount=700_000)
    page = f"/admin/accounts/limit/{limit.pk}/change/"
    assert "700,000" in client.get(page).content.decode()
    load = client.post("/admin/registry/model/load/", {"model": make_model().pk})
    assert load.status_code == 403


def test_every_page_of_rows_is_viewed_or_left_out_on_purpose() -> None:
    with_pages = {model._meta.label_lower for model in admin.site._registry}
    assert with_pages - set(view_rights.VIEWED) == {
        "mfa.authenticator",
        "socialaccount.socialaccount",
    }


def test_only_superusers_invite_into_the_admin() -> None:
    with pytest.raises(ValidationError, match="Only superusers"):
        invitation_create(days=1, views_admin=True, created_by=make_user(is_staff=True))
    root = make_user(is_superuser=True)
    _, token = invitation_create(days=1, views_admin=True, created_by=root)
    root.is_superuser = False
    root.save()
    with pytest.raises(ValidationError, match="Only superusers"):
        invitation_accept(token=token, user=make_user())


def test_who_is_no_superuser_has_no_such_field(client: Client) -> None:
    staff = make_user(None, "accounts.add_invitation", is_staff=True)
    client.force_login(staff)
    form = client.get(ADD).context["adminform"].form
    assert "views_admin" not in form.fields
    body = {"days": 7, "form_id": form["form_id"].value(), "views_admin": "on"}
    client.post(ADD, body)
    assert not Invitation.objects.get().views_admin
