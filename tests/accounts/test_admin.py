"""The admin of API keys, by Django's test client."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import key_secrets as keys
from accounts.limits.use_now import LimitUse
from accounts.models import ApiKey, Limit, LimitKind, Scope
from tests.admin_pages import count_queries, said
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.auth.models import User
    from django.test import RequestFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/apikey/"
ADD = "/admin/accounts/apikey/add/"
NO_LIMITS = {"limits-TOTAL_FORMS": 0, "limits-INITIAL_FORMS": 0}
SECRET = re.compile(r"sk-llmm-[0-9a-f]{12}-[\w-]{43}")


def page_of(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_change", args=[key.pk])


def revoke_of(key: ApiKey) -> str:
    return reverse("admin:accounts_apikey_revoke", args=[key.pk])


def new_form(client: Client, user: User, **changes: Any) -> dict[str, Any]:
    """Return the body that a freshly opened form for a key sends."""
    form = client.get(ADD).context["adminform"].form
    return {
        "name": "Search",
        "owner": user.pk,
        "scopes": [Scope.INFERENCE],
        "weight": 1,
        "form_id": form["form_id"].value(),
        **NO_LIMITS,
        **({} if "allowed_models" in changes else {"all_models": "on"}),
        **changes,
    }


@pytest.fixture
def manager(client: Client) -> Client:
    """A member of staff who manages keys and is no superuser."""
    rights = [f"accounts.{verb}_apikey" for verb in ("view", "add", "change", "delete")]
    client.force_login(make_user("mona", *rights, is_staff=True))
    return client


def test_a_row_of_limits_that_nobody_touched_is_none(
    admin_client: Client, admin_user: User
) -> None:
    """A browser sends the option of each choice that is shown."""
    page = admin_client.get(ADD).content.decode()
    choice = page.partition('name="limits-0-kind"')[2].partition("</select>")[0]
    shown = re.findall(r'<option value="([^"]*)"', choice)[0]
    row = {"kind": shown, "amount": "", "model": "", "id": "", "key": ""}
    sent = {f"limits-0-{name}": value for name, value in row.items()}
    body = new_form(admin_client, admin_user, **sent)
    answer = admin_client.post(ADD, {**body, "limits-TOTAL_FORMS": 1})
    assert SECRET.search(answer.content.decode())


# The list -------------------------------------------------------------------


def test_list_shows_owner_scopes_models_and_state(admin_client: Client) -> None:
    anna = make_user("anna")
    key, _ = make_api_key(
        anna,
        name="Chat",
        scopes=["inference", "models"],
        models=[make_model(), make_model()],
    )
    old, _ = make_api_key(anna, name="Old")
    old.revoke()
    ended, _ = make_api_key(anna, name="Ended")
    ApiKey.objects.filter(pk=ended.pk).update(expires_at=timezone.now())
    html = admin_client.get(LIST).content.decode()
    for text in ("Chat", key.prefix, "anna", "models", "never", ">2<", ">all<"):
        assert text in html
    for state in ("active", "revoked", "expired"):
        assert f">\n\n{state}\n<" in html


def test_list_costs_seven_queries_however_long_it_is(admin_client: Client) -> None:
    make_api_key(make_user())
    # Session, user, the owners and the teams for the filters, number of the keys found
    # and of all, the keys with owners and numbers of models.
    assert count_queries(admin_client, LIST) == 7
    for _ in range(20):
        make_api_key(models=[make_model()])
    assert count_queries(admin_client, LIST) == 7


# A new key ----------------------------------------------------------------------


def test_secret_is_shown_once_and_kept_nowhere(
    admin_client: Client, admin_user: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model = make_model()
    body = new_form(
        admin_client,
        admin_user,
        allowed_models=[model.pk],
        rate_limit=7,
        weight=2.5,
        scopes=["inference", "models"],
    )
    response = admin_client.post(ADD, body)
    assert response.status_code == 200
    secret = SECRET.search(response.content.decode())
    assert secret is not None
    key = ApiKey.objects.get()
    assert keys.matches(secret[0], key.key_hash)
    assert secret[0].startswith(key.prefix)
    assert (key.owner, key.created_by) == (admin_user, admin_user)
    assert (key.scopes, key.rate_limit) == (["inference", "models"], 7)
    assert key.weight == 2.5
    assert list(key.allowed_models.all()) == [model]

    hidden = secret[0].removeprefix(key.prefix)
    assert "no-store" in response["Cache-Control"]
    assert hidden not in str(response.cookies) + str(admin_client.cookies)
    assert not said(response)
    for session in Session.objects.all():
        assert hidden not in str(session.get_decoded())
    for entry in LogEntry.objects.all():
        assert hidden not in entry.object_repr + entry.change_message
    assert hidden not in caplog.text
    for url in (LIST, ADD, page_of(key), f"{page_of(key)}../history/", "/admin/"):
        assert hidden not in admin_client.get(url, follow=True).content.decode()


def test_creation_is_in_the_history(admin_client: Client, admin_user: User) -> None:
    admin_client.post(ADD, new_form(admin_client, admin_user))
    entry = LogEntry.objects.get()
    assert entry.is_addition()
    assert entry.object_id == str(ApiKey.objects.get().pk)


def test_reloading_the_answer_makes_no_second_key(
    admin_client: Client, admin_user: User
) -> None:
    body = new_form(admin_client, admin_user)
    admin_client.post(ADD, body)
    again = admin_client.post(ADD, body)
    assert (
        "This form was already submitted, and its key exists." in again.content.decode()
    )
    assert not SECRET.search(again.content.decode())
    assert ApiKey.objects.count() == 1
    # The form that came back is a new one.
    body["form_id"] = again.context["adminform"].form["form_id"].value()
    assert SECRET.search(admin_client.post(ADD, body).content.decode())
    assert ApiKey.objects.count() == 2


def test_a_double_click_makes_one_key(
    admin_client: Client, admin_user: User, rf: RequestFactory
) -> None:
    body = new_form(admin_client, admin_user)
    requests = []
    for _ in range(2):
        # Both have read the session before either has used the form up.
        request = rf.post(ADD, body)
        request.user = admin_user
        request.session = SessionStore(admin_client.session.session_key)
        request.session.get("api_key_forms")
        requests.append(request)
    model_admin = admin.site.get_model_admin(ApiKey)
    forms = [model_admin.get_form(each)(each.POST) for each in requests]
    assert [form.is_valid() for form in forms] == [True, False]


def test_a_form_of_another_session_makes_no_key(
    admin_client: Client, admin_user: User
) -> None:
    other = Client()
    other.force_login(admin_user)
    admin_client.post(ADD, new_form(other, admin_user))
    assert not ApiKey.objects.exists()


def test_a_new_key_has_its_limits_at_once(
    admin_client: Client, admin_user: User
) -> None:
    limit = {
        "limits-TOTAL_FORMS": 1,
        "limits-0-kind": LimitKind.TOKENS_DAY,
        "limits-0-amount": "none",
    }
    body = new_form(admin_client, admin_user, **limit)
    refused = admin_client.post(ADD, body)
    assert not ApiKey.objects.exists()
    form = refused.context["adminform"].form
    body |= {"form_id": form["form_id"].value(), "limits-0-amount": "2000"}
    assert SECRET.search(admin_client.post(ADD, body).content.decode())
    (found,) = ApiKey.objects.get().limits.all()
    assert (found.kind, int(found.amount)) == ("tokens_day", 2000)


def test_two_forms_open_at_once_make_two_keys(
    admin_client: Client, admin_user: User
) -> None:
    first = new_form(admin_client, admin_user, name="one")
    second = new_form(admin_client, admin_user, name="two")
    admin_client.post(ADD, second)
    admin_client.post(ADD, first)
    assert {key.name for key in ApiKey.objects.all()} == {"one", "two"}


def test_a_form_sent_back_for_correction_is_not_used_up(
    admin_client: Client, admin_user: User
) -> None:
    body = new_form(admin_client, admin_user, name="")
    assert "required" in admin_client.post(ADD, body).content.decode()
    assert SECRET.search(
        admin_client.post(ADD, body | {"name": "Search"}).content.decode()
    )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["root"]}, "Select a valid choice"),
        ({"allowed_models": [999]}, "Select a valid choice"),
        ({"rate_limit": -1}, "greater than or equal to 0"),
        ({"weight": 0}, "Enter a number from 0.01 to 100"),
        ({"weight": 1e9}, "Enter a number from 0.01 to 100"),
        ({"weight": "nan"}, "Enter a number."),
        ({"weight": ""}, "This field is required"),
        ({"expires_at_0": "2001-01-01", "expires_at_1": "10:00"}, "in the past"),
        ({"expires_at_1": "10:00"}, "Enter a valid date"),
        ({"owner": ""}, "This field is required"),
    ],
)
def test_bad_keys_are_refused(
    admin_client: Client, admin_user: User, changes: dict[str, Any], complaint: str
) -> None:
    response = admin_client.post(ADD, new_form(admin_client, admin_user, **changes))
    assert complaint in response.content.decode()
    assert not ApiKey.objects.exists()


def test_the_owner_is_the_user_by_default(
    admin_client: Client, admin_user: User
) -> None:
    form = admin_client.get(ADD).context["adminform"].form
    assert form.initial["owner"] == admin_user.pk
    anna = make_user("anna")
    admin_client.post(ADD, new_form(admin_client, anna))
    key = ApiKey.objects.get()
    assert (key.owner, key.created_by) == (anna, admin_user)


def test_hostile_names_are_escaped(admin_client: Client) -> None:
    hostile = "<script>alert(1)</script>"
    owner = make_user(hostile)
    key, _ = make_api_key(owner, name=hostile, models=[make_model(hostile)])
    body = new_form(admin_client, owner, name=hostile)
    pages = [admin_client.post(ADD, body).content.decode()]
    pages += [
        admin_client.get(url).content.decode()
        for url in (LIST, ADD, page_of(key), revoke_of(key))
    ]
    for html in pages:
        assert "alert(1)" in html
        assert "<script>alert(1)" not in html


# A key's page -------------------------------------------------------------------


def change_form(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Renamed",
        "scopes": ["inference"],
        "weight": 1,
        "limits-TOTAL_FORMS": 0,
        "limits-INITIAL_FORMS": 0,
        **changes,
    }


def test_change_is_saved_and_recorded(admin_client: Client) -> None:
    key, _ = make_api_key(name="Search")
    model = make_model()
    body = change_form(allowed_models=[model.pk], rate_limit=5, weight=0.5)
    assert admin_client.post(page_of(key), body).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.rate_limit, key.weight) == ("Renamed", 5, 0.5)
    assert list(key.allowed_models.all()) == [model]
    assert LogEntry.objects.get().get_change_message() == (
        "Changed Name, All models, Allowed models, Rate limit and Weight."
    )


def test_owner_prefix_and_hash_cannot_be_posted(admin_client: Client) -> None:
    key, secret = make_api_key(make_user("anna"))
    mallory = make_user("mallory")
    body = change_form(owner=mallory.pk, prefix="sk-x", key_hash="0", is_active="")
    admin_client.post(page_of(key), body)
    key.refresh_from_db()
    assert key.owner.username == "anna"
    assert key.is_active
    assert keys.matches(secret, key.key_hash)


def test_saving_does_not_undo_a_revocation_that_came_first(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = make_api_key()

    def revoke_in_between(instance: ApiKey) -> None:
        ApiKey.objects.get(pk=instance.pk).revoke()

    monkeypatch.setattr(ApiKey, "clean", revoke_in_between)
    admin_client.post(page_of(key), change_form())
    key.refresh_from_db()
    assert key.name == "Renamed"
    assert not key.is_active


def test_unchanged_expired_key_can_still_be_renamed(admin_client: Client) -> None:
    key, _ = make_api_key()
    end = (timezone.now() - timedelta(days=1)).replace(microsecond=0)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=end)
    body = change_form(expires_at_0=f"{end:%Y-%m-%d}", expires_at_1=f"{end:%H:%M:%S}")
    assert admin_client.post(page_of(key), body).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.expires_at) == ("Renamed", end)


# Revocation -----------------------------------------------------------------------


def test_revocation_asks_first_and_is_recorded(admin_client: Client) -> None:
    key, _ = make_api_key(name="Search")
    assert "Revoke…" in admin_client.get(page_of(key)).content.decode()
    assert "cannot be undone" in admin_client.get(revoke_of(key)).content.decode()
    key.refresh_from_db()
    assert key.is_active
    response = admin_client.post(revoke_of(key))
    assert said(response) == [f"success: {key} is revoked."]
    key.refresh_from_db()
    assert not key.is_active
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def test_a_date_without_a_time_is_the_end_of_that_day(
    admin_client: Client, admin_user: User
) -> None:
    admin_client.post(
        ADD, new_form(admin_client, admin_user, expires_at_0="2999-12-31")
    )
    assert ApiKey.objects.get().expires_at == datetime(2999, 12, 31, 23, 59, tzinfo=UTC)
    assert "2999-12-31 23:59 UTC" in admin_client.get(LIST).content.decode()


def test_a_key_that_cannot_be_edited_shows_its_limits_in_force(
    admin_client: Client,
) -> None:
    key, _ = make_api_key()
    key.revoke()
    html = admin_client.get(page_of(key)).content.decode()
    for text in ("All models", "Default: 60 requests in 60 s", "Never"):
        assert text in html


def test_revoked_key_can_be_read_and_not_changed(admin_client: Client) -> None:
    key, _ = make_api_key(name="Old")
    key.revoke()
    html = admin_client.get(page_of(key)).content.decode()
    assert "cannot be activated again" in html
    assert 'name="name"' not in html
    assert "Revoke…" not in html
    assert admin_client.post(page_of(key), change_form()).status_code == 403
    assert said(admin_client.post(revoke_of(key))) == [
        f"info: {key} is already revoked."
    ]
    assert LogEntry.objects.count() == 0


def test_bulk_revocation_asks_first(admin_client: Client) -> None:
    chosen = [make_api_key()[0], make_api_key()[0]]
    gone, _ = make_api_key()
    gone.revoke()
    kept, _ = make_api_key()
    body = {
        "action": "revoke_keys",
        "_selected_action": [key.pk for key in (*chosen, gone)],
    }
    question = admin_client.post(LIST, body)
    assert question.status_code == 200
    assert question.context["keys"] == sorted(chosen, key=lambda key: -key.pk)
    assert ApiKey.objects.filter(is_active=True).count() == 3
    response = admin_client.post(LIST, body | {"confirmed": "yes"})
    assert said(response) == ["success: 2 keys are revoked."]
    assert list(ApiKey.objects.filter(is_active=True)) == [kept]
    assert LogEntry.objects.count() == 2


def test_bulk_revocation_of_revoked_keys_says_so(admin_client: Client) -> None:
    key, _ = make_api_key()
    key.revoke()
    body = {"action": "revoke_keys", "_selected_action": [key.pk]}
    assert said(admin_client.post(LIST, body)) == [
        "info: These keys are already revoked."
    ]


def test_unknown_key_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}999/revoke/").status_code == 404


# Who may --------------------------------------------------------------------------


def test_charlie_sees_nothing(client: Client) -> None:
    client.force_login(make_user("charlie", is_staff=True))
    key, _ = make_api_key(name="Hidden")
    for url in (LIST, ADD, page_of(key), revoke_of(key)):
        assert client.get(url).status_code == 403
    assert client.post(revoke_of(key)).status_code == 403
    assert "Hidden" not in client.get("/admin/").content.decode()
    key.refresh_from_db()
    assert key.is_active


def test_viewer_neither_creates_nor_revokes(client: Client) -> None:
    client.force_login(make_user("vera", "accounts.view_apikey", is_staff=True))
    key, _ = make_api_key()
    html = client.get(page_of(key)).content.decode()
    assert "Revoke…" not in html
    assert client.get(ADD).status_code == 403
    assert client.post(revoke_of(key)).status_code == 403
    body = {"action": "revoke_keys", "_selected_action": [key.pk], "confirmed": "yes"}
    client.post(LIST, body)
    key.refresh_from_db()
    assert key.is_active


def test_only_superusers_delete_keys(manager: Client, admin_user: User) -> None:
    key, _ = make_api_key()
    url = reverse("admin:accounts_apikey_delete", args=[key.pk])
    assert manager.post(url, {"post": "yes"}).status_code == 403
    assert ApiKey.objects.exists()
    superuser = Client()
    superuser.force_login(admin_user)
    assert superuser.post(url, {"post": "yes"}).status_code == 302
    assert not ApiKey.objects.exists()


def test_manager_creates_and_revokes(manager: Client) -> None:
    owner = make_user("anna")
    html = manager.post(ADD, new_form(manager, owner)).content.decode()
    assert SECRET.search(html)
    key = ApiKey.objects.get()
    manager.post(revoke_of(key))
    key.refresh_from_db()
    assert not key.is_active


def test_users_and_groups_have_pages(admin_client: Client, admin_user: User) -> None:
    for url in (
        "/admin/auth/user/",
        "/admin/auth/user/add/",
        f"/admin/auth/user/{admin_user.pk}/change/",
        f"/admin/auth/user/{admin_user.pk}/password/",
        "/admin/auth/group/",
        "/admin/auth/group/add/",
    ):
        assert admin_client.get(url).status_code == 200


# Models, rotation, expiry, teams ----------------------------------------------------


def test_a_key_is_for_all_models_or_for_some_and_says_so(
    admin_client: Client, admin_user: User
) -> None:
    nothing = new_form(admin_client, admin_user, allowed_models=[])
    assert "Choose models" in admin_client.post(ADD, nothing).content.decode()
    model = make_model()
    both = new_form(
        admin_client, admin_user, allowed_models=[model.pk], all_models="on"
    )
    assert "not both" in admin_client.post(ADD, both).content.decode()
    assert not ApiKey.objects.exists()


def test_rotation_shows_the_new_secret_once_and_keeps_the_old_key_for_a_while(
    admin_client: Client, admin_user: User
) -> None:
    key, _ = make_api_key(name="Search")
    page = reverse("admin:accounts_apikey_rotate", args=[key.pk])
    assert "Rotate…" in admin_client.get(page_of(key)).content.decode()
    form = admin_client.get(page).context["form"]
    body = {"grace": "24", "form_id": form["form_id"].value()}
    html = admin_client.post(page, body).content.decode()
    assert SECRET.search(html)
    new = ApiKey.objects.get(rotated_from=key)
    key.refresh_from_db()
    assert (new.name, new.created_by, key.is_usable) == ("Search", admin_user, True)
    assert key.expires_at is not None

    again = admin_client.post(page, body).content.decode()
    assert "already submitted" in again
    assert ApiKey.objects.count() == 2


def test_an_ended_key_is_not_rotated(admin_client: Client) -> None:
    key, _ = make_api_key()
    key.revoke()
    page = reverse("admin:accounts_apikey_rotate", args=[key.pk])
    assert "create a key instead" in said(admin_client.post(page, {"grace": "0"}))[0]
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("7", {"soon"}),
        ("30", {"soon", "later"}),
        ("past", {"gone"}),
        ("never", {"ever"}),
    ],
)
def test_keys_are_found_by_their_expiry(
    admin_client: Client, chosen: str, names: set[str]
) -> None:
    for name, days in (("soon", 3), ("later", 20), ("gone", -1), ("ever", None)):
        end = None if days is None else timezone.now() + timedelta(days=days)
        make_api_key(name=name, expires_at=end)
    listed = admin_client.get(LIST, {"expires": chosen}).context["cl"].result_list
    assert {key.name for key in listed} == names


def test_the_dashboard_says_which_keys_expire_soon(admin_client: Client) -> None:
    make_api_key(expires_at=timezone.now() + timedelta(days=3))
    html = admin_client.get("/admin/").content.decode()
    assert "1 expires within 7 days" in html


def test_a_team_of_a_key_needs_its_owner(
    admin_client: Client, admin_user: User
) -> None:
    team = make_team("red")
    body = new_form(admin_client, admin_user, team=team.pk)
    assert "not a member of the team" in admin_client.post(ADD, body).content.decode()
    team.group.user_set.add(admin_user)
    body = new_form(admin_client, admin_user, team=team.pk)
    assert SECRET.search(admin_client.post(ADD, body).content.decode())
    assert ApiKey.objects.get().team == team


def test_teams_have_pages(admin_client: Client) -> None:
    anna = make_user("anna")
    team = make_team("red", anna)
    make_api_key(anna, team=team)
    html = admin_client.get("/admin/accounts/team/").content.decode()
    assert "red" in html
    page = admin_client.get(f"/admin/accounts/team/{team.pk}/change/")
    assert "anna" in page.content.decode()
    assert admin_client.get("/admin/accounts/team/add/").status_code == 200
    url = f"/admin/accounts/team/{team.pk}/delete/"
    assert "protected" in admin_client.post(url, {"post": "yes"}).content.decode()


def test_what_is_used_of_a_keys_limits_is_asked_at_once(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = make_api_key()
    kinds = (LimitKind.TOKENS_DAY, LimitKind.TOKENS_MONTH, LimitKind.PARALLEL)
    for kind in kinds:
        Limit.objects.create(key=key, kind=kind, amount=5)
    asked: list[list[LimitKind]] = []

    def uses(limits: Sequence[Limit]) -> list[LimitUse]:
        asked.append([LimitKind(each.kind) for each in limits])
        texts = [f"use of {each.kind}" for each in limits]
        return [LimitUse("tokens", "key", text, 50) for text in texts]

    monkeypatch.setattr("accounts.admin.limits.uses_of_limits", uses)
    page = admin_client.get(page_of(key)).content.decode()

    assert [sorted(each) for each in asked] == [sorted(kinds)]
    assert all(page.count(f"use of {kind}") == 1 for kind in kinds)
