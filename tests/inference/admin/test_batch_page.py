"""The pages of batches, for who may see them and who may end one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from accounts.models import Batch
from tests.factories import make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/accounts/batch/"


def make_batch(number: int = 1, **fields: Any) -> Batch:
    """Return a batch of ten lines, three of them answered, one without an answer."""
    given = {
        "owner_id": make_user(f"anna{number}").pk,
        "endpoint": "/v1/embeddings",
        "model_name": "tiny",
        "status": Batch.Status.IN_PROGRESS,
        "total": 10,
        "completed": 3,
        "failed": 1,
        "expires_at": timezone.now() + timedelta(days=1),
        **fields,
    }
    return Batch.objects.create(pk=f"batch_{number}", **given)


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera", "accounts.view_batch", is_staff=True))
    return client


def test_the_list_and_the_page_show_how_far_a_batch_is(admin_client: Client) -> None:
    batch = make_batch(metadata={"for": "<b>a test</b>"})
    page = f"{LIST}{batch.pk}/"
    for url in (LIST, f"{LIST}status/", page, f"{page}status/"):
        html = admin_client.get(url).content.decode()
        for text in ("4 of 10, 1 without an answer", 'value="40"', "tiny", "anna1"):
            assert text in html, (url, text)
    assert "&lt;b&gt;a test" in admin_client.get(page).content.decode()


def test_what_is_wrong_with_a_file_is_shown_by_lines(admin_client: Client) -> None:
    fault = {"code": "x", "line": 7, "message": "It is <not> JSON.", "param": None}
    batch = make_batch(status=Batch.Status.FAILED, errors=[fault])

    html = admin_client.get(f"{LIST}{batch.pk}/").content.decode()

    assert "It is &lt;not&gt; JSON." in html
    assert "cancel-batch" not in html


def test_a_batch_is_cancelled_once_and_the_log_says_who_did(
    admin_client: Client,
) -> None:
    batch = make_batch()
    assert "cancel-batch" in admin_client.get(f"{LIST}{batch.pk}/").content.decode()

    for _ in range(2):
        answer = admin_client.post(f"{LIST}{batch.pk}/cancel/")
        assert answer.status_code == 302

    batch.refresh_from_db()
    assert batch.status == Batch.Status.CANCELLING
    entries = LogEntry.objects.filter(object_pk=batch.pk)
    assert [entry.additional_data["event"] for entry in entries] == ["cancelled"]


def test_who_may_only_look_cannot_cancel(viewer: Client) -> None:
    batch = make_batch()

    assert "cancel-batch" not in viewer.get(f"{LIST}{batch.pk}/").content.decode()
    assert viewer.post(f"{LIST}{batch.pk}/cancel/").status_code == 403
    batch.refresh_from_db()
    assert batch.status == Batch.Status.IN_PROGRESS


def test_who_may_not_look_sees_nothing(client: Client) -> None:
    batch = make_batch()
    client.force_login(make_user("nora", is_staff=True))

    for url in (LIST, f"{LIST}status/", f"{LIST}{batch.pk}/"):
        assert client.get(url).status_code == 403
    assert client.post(f"{LIST}{batch.pk}/cancel/").status_code == 403
