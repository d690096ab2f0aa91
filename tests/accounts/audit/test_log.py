"""The audit log: who changed what, by every door, and never a secret."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from auditlog.models import LogEntry
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.audit import pruning
from accounts.audit.actor import Actor, acting
from accounts.audit.export import as_object
from accounts.audit.pruning import audit_prune
from accounts.models import ApiKey
from accounts.services import api_key_rotate
from tests.accounts.test_admin import ADD, SECRET, change_form, new_form, page_of
from tests.admin_pages import streamed
from tests.factories import make_api_key, make_model, make_team, make_user

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/auditlog/logentry/"


def entries(**about: Any) -> list[dict[str, Any]]:
    found = LogEntry.objects.filter(**about).order_by("id")
    return [dict(as_object(entry)) for entry in found]


def test_a_change_in_the_admin_has_its_author_and_the_values_before_and_after(
    admin_client: Client,
) -> None:
    key, _ = make_api_key(name="Search", rate_limit=3)
    LogEntry.objects.all().delete()

    admin_client.post(page_of(key), change_form(all_models="on", rate_limit=5))

    (entry,) = entries()
    assert (entry["event"], entry["kind"], entry["by"]) == (
        "changed",
        "apikey",
        "admin",
    )
    assert entry["via"] == f"page {page_of(key)}"
    assert entry["address"] == "127.0.0.1"
    assert entry["changes"] == {"name": ["Search", "Renamed"], "rate_limit": ["3", "5"]}


def test_a_list_of_models_is_logged_by_what_is_added_and_removed() -> None:
    first, second = make_model("first"), make_model("second")
    key, _ = make_api_key(models=[first])
    LogEntry.objects.all().delete()
    key.allowed_models.set([second])
    changes = [entry["changes"]["allowed_models"] for entry in entries()]
    assert sorted((each["operation"], each["objects"]) for each in changes) == [
        ("add", ["second"]),
        ("delete", ["first"]),
    ]


def test_no_secret_is_in_the_log(admin_client: Client, admin_user: User) -> None:
    html = admin_client.post(ADD, new_form(admin_client, admin_user)).content.decode()
    secret = SECRET.search(html)
    assert secret is not None
    key = ApiKey.objects.get()
    _, rotated = api_key_rotate(key=key, grace=timedelta(days=1))
    user = make_user("anna", password="first secret")
    user.set_password("second secret")
    user.save()

    log = json.dumps(entries(), ensure_ascii=False)
    for hidden in (secret[0], rotated, key.key_hash, user.password):
        assert hidden not in log
    # That the password changed is no secret.
    assert entries(object_repr="anna")[-1]["changes"] == {"password": ["•••", "•••"]}


def test_the_log_of_a_user_and_a_key_outlives_them() -> None:
    anna = make_user("anna")
    with acting(lambda: Actor("anna", "page /x", anna)):
        key, _ = make_api_key(anna, name="Search")
    anna.delete()
    found = entries(object_pk=str(key.pk), content_type__model="apikey")
    assert [entry["event"] for entry in found] == ["created", "deleted"]
    assert (found[0]["by"], found[0]["object"]) == ("anna", str(key))


def test_the_command_line_signs_with_the_systems_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_user("anna")
    monkeypatch.setattr("sys.argv", ["llm-manager", "key", "--secret", "x"])
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    call_command(
        *("create_api_key", "laptop", "--owner", "anna"),
        stdout=StringIO(),
        stderr=StringIO(),
    )
    created = entries(content_type__model="apikey")[0]
    assert (created["by"], created["via"]) == ("root", "llm-manager key")


def test_using_a_key_is_no_change() -> None:
    key, _ = make_api_key()
    LogEntry.objects.all().delete()
    key.last_used_at = key.created_at
    key.save()
    assert entries() == []


def test_teams_and_their_members_are_logged() -> None:
    anna = make_user("anna")
    team = make_team("red")
    LogEntry.objects.all().delete()
    anna.groups.add(team.group)
    (entry,) = entries()
    assert (entry["object"], entry["changes"]["groups"]["objects"]) == ("anna", ["red"])


# In the admin ---------------------------------------------------------------------


def test_the_log_is_searched_and_cannot_be_edited(admin_client: Client) -> None:
    with acting(lambda: Actor("anna", "page /x")):
        make_api_key(name="Search")
    make_api_key(name="Chat")
    html = admin_client.get(LIST, {"q": "Search"}).content.decode()
    assert "Search" in html
    assert "Chat" not in html
    by_anna = admin_client.get(LIST, {"q": "anna"}).context["cl"].result_list
    assert {as_object(entry)["by"] for entry in by_anna} == {"anna"}

    entry = LogEntry.objects.latest("id")
    page = reverse("admin:auditlog_logentry_change", args=[entry.pk])
    assert "After" in admin_client.get(page).content.decode()
    assert admin_client.post(page, {"object_repr": "x"}).status_code == 403
    delete = reverse("admin:auditlog_logentry_delete", args=[entry.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    body = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    admin_client.post(LIST, body)
    assert LogEntry.objects.filter(pk=entry.pk).exists()


@pytest.mark.django_db(transaction=True)
async def test_the_log_is_exported_as_it_is_searched() -> None:
    def change() -> None:
        make_api_key(name="=Search")
        make_api_key(name="Chat")

    await sync_to_async(change)()
    table = await streamed(f"{LIST}export.csv?q=%3DSearch")
    rows = list(csv.DictReader(io.StringIO(table)))
    assert rows
    assert all(row["object"].startswith("'=Search") for row in rows)
    lines = (await streamed(f"{LIST}export.jsonl?q=Chat")).splitlines()
    assert lines
    assert all("Chat" in json.loads(line)["object"] for line in lines)


def test_entries_are_kept_as_long_as_configured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    teams = [make_team(f"team {number}") for number in range(5)]
    created = LogEntry.objects.filter(object_repr__startswith="team ")
    LogEntry.objects.exclude(pk__in=created).delete()
    for team, days in zip(teams, (0, 1824, 1826, 1827, 1828), strict=True):
        then = timezone.now() - timedelta(days=days)
        created.filter(object_repr=str(team)).update(timestamp=then)
    LogEntry.objects.exclude(content_type__model="team").delete()
    assert audit_prune() == 2
    assert audit_prune() == 1
    assert audit_prune() == 0
    assert LogEntry.objects.count() == 2


def test_who_may_not_see_the_log_exports_none(client: Client) -> None:
    client.force_login(make_user("charlie", is_staff=True))
    for url in (LIST, f"{LIST}export.csv", f"{LIST}export.jsonl"):
        assert client.get(url).status_code == 403
