"""Who switches the capture of a key on, who sees that, who reads what was captured."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from accounts.audit.export import as_object
from accounts.captures.pruning import BATCH, captures_prune
from accounts.models import ApiKey, CapturedBody, UsageRecord
from accounts.services import api_key_rotate
from accounts.usage.ingestion import store
from tests.accounts.usage.test_ingestion import entry
from tests.admin_pages import said
from tests.factories import make_api_key, make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> ApiKey:
    return make_api_key(make_user("anna", password="x"), name="Search")[0]


def capture(key: ApiKey, **columns: Any) -> CapturedBody:
    now = timezone.now()
    values = {
        "pk": uuid4(),
        "request": "<b>What?</b>",
        "answer": "That.",
        "captured_at": now,
        "expires_at": now + timedelta(hours=1),
        **columns,
    }
    return CapturedBody.objects.create(key=key, **values)


def page_of(key: ApiKey, name: str = "change") -> str:
    return f"/admin/accounts/apikey/{key.pk}/{name}/"


def test_it_is_off_until_somebody_switches_it_on_for_a_while(
    admin_client: Client, key: ApiKey
) -> None:
    assert not key.is_captured
    page = admin_client.get(page_of(key, "capture")).content.decode()
    assert "kept for 72 hours each" in page
    LogEntry.objects.all().delete()
    before = timezone.now()
    response = admin_client.post(page_of(key, "capture"), {"hours": "8"})
    assert response["Location"] == page_of(key)
    assert said(response) == [f"success: The bodies of {key} are captured for 8 hours."]
    key.refresh_from_db()
    assert key.is_captured
    assert key.capture_until is not None
    assert (
        timedelta(0)
        <= key.capture_until - before - timedelta(hours=8)
        < (timedelta(minutes=1))
    )
    assert "are captured until" in admin_client.get(page_of(key)).content.decode()

    admin_client.post(page_of(key, "capture"), {"end": "yes"})
    key.refresh_from_db()
    assert not key.is_captured
    on, off = [dict(as_object(each)) for each in LogEntry.objects.order_by("id")]
    assert (on["by"], off["by"]) == ("admin", "admin")
    assert on["changes"]["capture_until"][0] == "None"
    assert off["changes"]["capture_until"][1] == "None"


@pytest.mark.parametrize("hours", ["", "0", "100000", "-1", "x"])
def test_nothing_is_captured_for_good(
    admin_client: Client, key: ApiKey, hours: str
) -> None:
    answer = admin_client.post(page_of(key, "capture"), {"hours": hours})
    assert answer.status_code == 200
    key.refresh_from_db()
    assert key.capture_until is None


def test_it_takes_a_right_of_its_own(client: Client, key: ApiKey) -> None:
    rights = ("accounts.view_apikey", "accounts.change_apikey")
    client.force_login(make_user("vera", *rights, is_staff=True))
    assert "Capture…" not in client.get(page_of(key)).content.decode()
    for method in (client.get, client.post):
        assert method(page_of(key, "capture"), {"hours": "1"}).status_code == 403
    key.refresh_from_db()
    assert not key.is_captured
    rights = ("accounts.view_apikey", "accounts.capture_apikey")
    client.force_login(make_user("carl", *rights, is_staff=True))
    assert "Capture…" in client.get(page_of(key)).content.decode()
    assert client.post(page_of(key, "capture"), {"hours": "1"}).status_code == 302


def test_a_revoked_key_is_not_captured(admin_client: Client, key: ApiKey) -> None:
    key.revoke()
    answer = admin_client.post(page_of(key, "capture"), {"hours": "1"})
    assert said(answer) == [f"info: {key} is revoked."]
    key.refresh_from_db()
    assert key.capture_until is None


def test_a_key_that_takes_the_place_of_a_captured_one_is_not_captured(
    key: ApiKey,
) -> None:
    key.capture(timezone.now() + timedelta(hours=1), by=None)
    new, _ = api_key_rotate(key=key, grace=timedelta(days=1))
    assert not new.is_captured


def test_the_owner_sees_that_it_is_on_by_whom_and_what_is_kept(
    client: Client, key: ApiKey
) -> None:
    client.force_login(key.owner)
    assert "captured" not in client.get("/account/").content.decode()
    until = timezone.now() + timedelta(hours=1)
    key.capture(until, by=make_user("root"))
    capture(key)
    capture(key, expires_at=timezone.now() - timedelta(hours=1))
    html = client.get("/account/").content.decode()
    assert f"is captured until {until:%Y-%m-%d %H:%M} UTC, by root." in html
    assert "1 captured request is kept" in html
    client.force_login(make_user("sam"))
    assert "captured" not in client.get("/account/").content.decode()


def test_a_request_shows_its_bodies_to_who_may_see_them(
    client: Client, key: ApiKey
) -> None:
    store([entry(timezone.now(), request_id="mine", key_id=key.pk)])
    record = UsageRecord.objects.get()
    row = capture(key, pk=record.pk, is_answer_cut=True)
    page = f"/admin/accounts/usagerecord/{record.pk}/change/"
    right = "accounts.view_usagerecord"
    client.force_login(make_user("vera", right, is_staff=True))
    assert "What?" not in client.get(page).content.decode()
    assert not LogEntry.objects.get_for_object(record).exists()
    rights = (right, "accounts.view_capturedbody")
    client.force_login(make_user("carl", *rights, is_staff=True))
    html = client.get(page).content.decode()
    assert "&lt;b&gt;What?&lt;/b&gt;" in html
    assert "Answer, the beginning" in html
    (read,) = LogEntry.objects.get_for_object(record)
    logged = dict(as_object(read))
    assert (logged["by"], read.additional_data["event"]) == (
        "carl",
        "captured bodies read",
    )
    row.expires_at = timezone.now()
    row.save()
    assert "What?" not in client.get(page).content.decode()


def test_what_has_expired_is_deleted_and_a_key_takes_its_bodies_along(
    key: ApiKey,
) -> None:
    kept = capture(key)
    for _ in range(BATCH + 1):
        capture(key, expires_at=timezone.now())
    assert [captures_prune() for _ in range(3)] == [BATCH, 1, 0]
    assert CapturedBody.objects.get() == kept
    key.delete()
    assert not CapturedBody.objects.exists()
