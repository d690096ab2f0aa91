"""Usage in the admin: read, filtered, exported, never edited."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import UsageRecord
from accounts.usage.ingestion import store
from llm_manager.lib.tables import row_export
from tests.accounts.usage.test_ingestion import entry
from tests.admin_pages import streamed
from tests.factories import make_user

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/usagerecord/"


def shown(client: Client, query: str = "") -> set[str]:
    """Return the ids of the requests in a list."""
    response = client.get(LIST + query)
    assert response.status_code == 200
    return {record.request_id for record in response.context["cl"].result_list}


def fill() -> None:
    now = timezone.now()
    store(
        [
            entry(now, request_id="answered"),
            entry(now, request_id="limited", status=429, limit_name="tokens_day key"),
            entry(now, request_id="failed", status=503, key_id=2, key_name="theirs"),
            entry(now, request_id="cut", status=499, completed=False),
            entry(now - timedelta(days=3), request_id="old", model_id=8),
        ]
    )


def test_filters_find_requests_by_time_end_and_subject(admin_client: Client) -> None:
    fill()
    assert len(shown(admin_client)) == 5
    assert shown(admin_client, "?period=24h&end=answered") == {"answered"}
    assert shown(admin_client, "?end=limited") == {"limited"}
    assert shown(admin_client, "?end=failed") == {"failed"}
    assert shown(admin_client, "?end=interrupted") == {"cut"}
    assert shown(admin_client, "?key_id=2") == {"failed"}
    assert shown(admin_client, "?model_id=8") == {"old"}
    assert shown(admin_client, "?q=old") == {"old"}
    assert shown(admin_client, "?q=ol") == set()


def test_filters_find_requests_by_endpoint_and_node(admin_client: Client) -> None:
    store(
        [
            entry(request_id="chat", node="north"),
            entry(request_id="vectors", endpoint="embeddings", node="south"),
        ]
    )
    assert shown(admin_client, "?endpoint=embeddings") == {"vectors"}
    assert shown(admin_client, "?node=north") == {"chat"}
    html = admin_client.get(f"{LIST}?node=gone").content.decode()
    for choice in ("chat-completions", "embeddings", "north", "south", "gone"):
        assert choice in html


def test_yesterday_is_a_day_of_the_configured_zone(
    admin_client: Client, settings: Settings
) -> None:
    usage = settings.CONFIG.usage.model_copy(update={"time_zone": "Pacific/Auckland"})
    settings.CONFIG = settings.CONFIG.model_copy(update={"usage": usage})
    day = timezone.now().astimezone(ZoneInfo("Pacific/Auckland"))
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    minute = timedelta(minutes=1)
    store(
        [
            entry(midnight - minute, request_id="last", prompt_tokens=2000),
            entry(midnight + minute, request_id="today"),
            entry(midnight - timedelta(hours=23), request_id="first", model_id=9),
            entry(midnight - timedelta(hours=26), request_id="before"),
        ]
    )
    assert shown(admin_client, "?period=yesterday") == {"first", "last"}
    days = admin_client.get("/admin/accounts/usageday/?period=yesterday")
    assert dict(days.context["sums"])["requests"] == "2"
    assert dict(days.context["sums"])["prompt tokens"] == "2,010"
    assert "sums" not in admin_client.get("/admin/accounts/usageday/").context


def test_a_request_has_a_page_and_nobody_changes_it(admin_client: Client) -> None:
    fill()
    record = UsageRecord.objects.get(request_id="limited")
    page = f"{LIST}{record.pk}/change/"
    assert "tokens_day key" in admin_client.get(page).content.decode()
    assert admin_client.post(page, {"status": 200}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{record.pk}/delete/").status_code == 403
    assert admin_client.get("/admin/accounts/usageday/").status_code == 200


def test_lists_say_their_time_zones(admin_client: Client, settings: Settings) -> None:
    usage = settings.CONFIG.usage.model_copy(update={"time_zone": "Pacific/Auckland"})
    settings.CONFIG = settings.CONFIG.model_copy(update={"usage": usage})
    requests = admin_client.get(LIST).content.decode()
    assert "Times are in UTC." in requests
    assert "budgets are in the time zone Pacific/Auckland." in requests
    days = admin_client.get("/admin/accounts/usageday/").content.decode()
    assert "Days begin and end in the time zone Pacific/Auckland." in days


def test_a_long_list_says_where_it_ends(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.admin.usage.lists.MAX_LISTED", 3)
    fill()
    response = admin_client.get(LIST)
    assert response.context["cl"].paginator.count == 3
    assert "The list ends after 3 requests" in response.content.decode()


def test_who_may_not_see_it_does_not(client: Client) -> None:
    client.force_login(make_user(is_staff=True))
    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}export.csv").status_code == 403
    client.force_login(make_user(None, "accounts.view_usagerecord", is_staff=True))
    assert client.get(LIST).status_code == 200
    assert client.get(f"{LIST}export.xml").status_code == 403


@pytest.mark.django_db(transaction=True)
async def test_an_export_has_all_chosen_requests_the_newest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_export, "_PART", 2)
    await sync_to_async(fill)()
    hostile = entry(request_id="hostile", model_asked="=cmd()", status=404)
    await sync_to_async(store)([hostile])
    rows = list(csv.DictReader(io.StringIO(await streamed(f"{LIST}export.csv"))))
    assert len(rows) == 6
    assert [row["id"] for row in rows] == sorted((r["id"] for r in rows), reverse=True)
    by_id = {row["request_id"]: row for row in rows}
    assert by_id["hostile"]["model_asked"] == "'=cmd()"
    text = await streamed(f"{LIST}export.jsonl?end=limited")
    (limited,) = [json.loads(line) for line in text.splitlines()]
    assert (limited["request_id"], limited["status"]) == ("limited", 429)


@pytest.mark.parametrize("page", ["usagerecord", "usageday"])
def test_pages_of_usage_say_that_they_are_of_usage(
    admin_client: Client, page: str
) -> None:
    html = admin_client.get(f"/admin/accounts/{page}/").content.decode()
    crumbs = re.findall(r'lm-crumb.*?tracking-tight">([^<]+)<', html, re.DOTALL)
    assert crumbs[0] == "Usage"
    html = admin_client.get("/admin/accounts/team/").content.decode()
    crumbs = re.findall(r'lm-crumb.*?tracking-tight">([^<]+)<', html, re.DOTALL)
    assert crumbs[0] == "Access"
