"""The page of one request: its time as a bar, what to do, what is like it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from accounts.admin.request.advice import _BY_CODE, advice
from accounts.admin.request.timeline import WIDTH, timeline
from accounts.models import UsageRecord
from accounts.usage.ingestion import store
from tests.accounts.usage.test_ingestion import entry
from tests.admin_pages import count_queries
from tests.factories import make_api_key, make_model, make_user

if TYPE_CHECKING:
    from django.test import Client

LIST = "/admin/accounts/usagerecord/"


def spans(**columns: Any) -> list[tuple[str, int]]:
    record = UsageRecord(**columns)
    return [(phase.name, phase.ms) for phase in timeline(record)]


def test_a_request_waits_prefills_and_decodes() -> None:
    times = {"queue_ms": 100, "first_token_ms": 400, "duration_ms": 1000}
    assert spans(**times) == [("queue", 100), ("prefill", 300), ("decode", 600)]
    phases = timeline(UsageRecord(**times))
    assert [(each.x, each.width) for each in phases] == [
        (0, WIDTH * 0.1),
        (WIDTH * 0.1, WIDTH * 0.3),
        (WIDTH * 0.4, WIDTH * 0.6),
    ]


def test_a_request_that_never_began_only_waited() -> None:
    assert spans(duration_ms=70) == [("queue", 70)]


def test_a_request_without_tokens_only_prefilled() -> None:
    assert spans(queue_ms=10, duration_ms=70) == [("queue", 10), ("prefill", 60)]


@pytest.mark.parametrize("duration", [None, 0])
def test_without_a_duration_there_is_no_bar(duration: int | None) -> None:
    assert spans(queue_ms=10, duration_ms=duration) == []


def test_the_shortest_phase_is_seen_and_inside_the_bar() -> None:
    times = {"queue_ms": 0, "first_token_ms": 60_000, "duration_ms": 60_000}
    for phase in timeline(UsageRecord(**times)):
        assert phase.width >= 4
        assert phase.x >= 0
        assert phase.x + phase.width <= WIDTH


def test_every_failure_has_an_advice_and_what_was_answered_none() -> None:
    assert advice(UsageRecord(failed=False, status=200)) == ""
    for code in _BY_CODE:
        assert advice(UsageRecord(failed=True, status=503, error_code=code))
    for status, code in ((400, "invalid_value"), (499, ""), (500, "new_code")):
        record = UsageRecord(failed=True, status=status, error_code=code)
        assert advice(record), status


@pytest.fixture
def record(db: None) -> UsageRecord:
    key, _ = make_api_key(make_user("anna"), name="<b>Search</b>")
    model = make_model("tiny")
    fields = {
        "key_id": key.pk,
        "key_name": key.name,
        "owner_id": key.owner_id,
        "owner_name": "anna",
        "model_id": model.pk,
        "model_name": "tiny",
        "status": 503,
        "error_code": "queue_timeout",
        "queue_ms": 100,
        "first_token_ms": 400,
        "duration_ms": 1000,
    }
    store([entry(timezone.now(), request_id="mine", **fields)])
    store([entry(timezone.now(), request_id="like", **fields)])
    store([entry(timezone.now(), request_id="other", error_code="", key_id=9)])
    return UsageRecord.objects.get(request_id="mine")


def test_the_page_shows_the_bar_the_advice_and_leads_to_what_is_like_it(
    admin_client: Client, record: UsageRecord
) -> None:
    page = f"{LIST}{record.pk}/change/"
    html = admin_client.get(page).content.decode()
    assert re.findall(r'<rect class="(\S+)" x="(\S+)" .*?width="(\S+)"', html) == [
        ("lm-phase-queue", "0.0", "100.0"),
        ("lm-phase-prefill", "100.0", "300.0"),
        ("lm-phase-decode", "400.0", "600.0"),
    ]
    assert 'aria-label="queue 100 ms, prefill 300 ms, decode 600 ms"' in html
    assert "Look at Running for who uses it" in html
    assert "&lt;b&gt;Search&lt;/b&gt;" in html
    assert f"/admin/accounts/apikey/{record.key_id}/change/" in html
    assert f"/admin/registry/model/{record.model_id}/change/" in html
    for query in (
        f"?key_id={record.key_id}",
        f"?model_id={record.model_id}",
        f"?owner_id={record.owner_id}",
        "?error=queue_timeout",
    ):
        assert LIST + query in html
        found = admin_client.get(LIST + query).context["cl"].result_list
        assert {each.request_id for each in found} == {"mine", "like"}
    # The session and the user; the row; its key, owner and model.
    assert count_queries(admin_client, page) <= 7


def test_who_may_see_only_requests_has_no_links_to_other_pages(
    client: Client, record: UsageRecord
) -> None:
    client.force_login(make_user("uma", "accounts.view_usagerecord", is_staff=True))
    html = client.get(f"{LIST}{record.pk}/change/").content.decode()
    assert "queue_timeout" in html
    assert "/admin/accounts/apikey/" not in html
    assert "/admin/registry/model/" not in html
