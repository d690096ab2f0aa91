"""The page of what runs and waits, and the cancel of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from auditlog.models import LogEntry
from redis.exceptions import ConnectionError as NoRedis

from accounts.audit.export import as_object
from inference.admin import running_page
from inference.transport.messages.running import CurrentRequest, RunState
from inference.transport.running.now import Placed, RunningNow
from tests.admin_pages import count_queries, said
from tests.factories import make_user

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.test import Client

pytestmark = pytest.mark.django_db

PAGE = "/admin/inference/runningrequest/"
STATUS = f"{PAGE}status/"
ID = "0193e4a6-6c00-7000-8000-000000000001"
CANCEL = f"{PAGE}{ID}/cancel/"
SINCE = 1_750_000_000.0
REQUEST = CurrentRequest(
    id=ID,
    request_id="req-1",
    endpoint="chat-completions",
    model_id=1,
    model="tiny",
    key_prefix="sk-llmm-1",
    key_name="<b>Search</b>",
    owner="anna",
    team="red",
    client_address="10.0.0.9",
    arrived_at=SINCE,
    queued_at=0,
    is_stream=True,
    state=RunState.DECODES,
    sequences=1,
    waiting=(),
    prefilling=(),
    in_line=True,
    node="gpu-01",
    replica=0,
    prompt_tokens=1234,
    cached_tokens=1000,
    completion_tokens=56,
    tokens_per_second=41.2,
)


class Server:
    """What all processes together would say, and what they are asked to cancel."""

    def __init__(self) -> None:
        self.requests: list[CurrentRequest] = []
        self.cancelled: list[tuple[str, str]] = []
        self.failure: Exception | None = None
        self.times_asked = 0

    def run(self, requests: Iterable[CurrentRequest]) -> None:
        """Let these requests run, since 65 seconds."""
        self.requests = list(requests)

    async def now(self) -> RunningNow:
        self.times_asked += 1
        if self.failure:
            raise self.failure
        placed = [
            Placed(
                each,
                3 if each.state == RunState.WAITS else 0,
                0.347 if each.state == RunState.PREFILLS else None,
            )
            for each in self.requests
        ]
        return RunningNow(SINCE + 65, placed, silent=1)

    async def cancel(self, id_: str, *, by: str) -> bool:
        if self.failure:
            raise self.failure
        self.cancelled.append((id_, by))
        return any(each.id == id_ for each in self.requests)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(running_page, "running_now", server.now)
    monkeypatch.setattr(running_page, "cancel_running", server.cancel)
    return server


@pytest.fixture
def viewer(client: Client) -> Client:
    rights = ("inference.view_runningrequest",)
    client.force_login(make_user("vera", *rights, is_staff=True))
    return client


def test_the_page_and_its_refreshed_part_show_what_runs_and_waits(
    admin_client: Client, server: Server
) -> None:
    waits = replace(REQUEST, id="2", state=RunState.WAITS, prompt_tokens=0, node="")
    prefills = replace(REQUEST, id="3", state=RunState.PREFILLS)
    server.run([REQUEST, waits, prefills])
    for url in (PAGE, STATUS):
        html = admin_client.get(url).content.decode()
        for text in (
            *("tiny", "chat-completions, stream", "&lt;b&gt;Search&lt;/b&gt;"),
            *("anna · red", "1,234", "1,000 cached", "56", "41.2/s", "gpu-01"),
            *("1 min 5 s", "place 3", "<b>1</b> decode", "<b>1</b> wait"),
            *("34 %", "Prefill of tiny"),
            *(CANCEL, "1 of the server's processes did not answer"),
        ):
            assert text in html, text
    assert "no-store" in admin_client.get(STATUS)["Cache-Control"]


def test_nothing_and_no_redis_are_said(admin_client: Client, server: Server) -> None:
    assert "Nothing runs or waits." in admin_client.get(PAGE).content.decode()
    server.failure = NoRedis()
    assert "Redis cannot be reached" in admin_client.get(STATUS).content.decode()
    assert said(admin_client.get(CANCEL)) == [f"error: {running_page._NO_REDIS}"]
    assert said(admin_client.post(CANCEL)) == [f"error: {running_page._NO_REDIS}"] * 2


def test_many_requests_make_no_endless_page(
    admin_client: Client, server: Server
) -> None:
    server.run(replace(REQUEST, id=str(number)) for number in range(230))
    html = admin_client.get(STATUS).content.decode()
    assert html.count("Cancel…") == 200
    assert "and 30 more" in html
    # The session and the user.
    assert count_queries(admin_client, STATUS) == 2


def test_a_request_is_cancelled_after_a_question_and_that_is_logged(
    admin_client: Client, server: Server
) -> None:
    server.run([REQUEST])
    html = admin_client.get(CANCEL).content.decode()
    assert "&lt;b&gt;Search&lt;/b&gt;" in html
    assert "req-1" in html
    assert server.cancelled == []
    # Each time waits for every process, and Redis may be away the next time.
    assert server.times_asked == 1

    response = admin_client.post(CANCEL)
    assert response["Location"] == PAGE
    assert said(response) == [
        "success: The request is cancelled; its client got an error that says so."
    ]
    assert server.cancelled == [(ID, "admin")]
    entry = dict(as_object(LogEntry.objects.latest("id")))
    assert (entry["event"], entry["by"], entry["object_id"]) == (
        "cancelled",
        "admin",
        ID,
    )


@pytest.mark.parametrize("method", ["get", "post"])
def test_what_has_ended_is_not_cancelled(
    admin_client: Client, server: Server, method: str
) -> None:
    response: Any = getattr(admin_client, method)(CANCEL)
    assert said(response) == ["info: The request has ended already."]
    assert not LogEntry.objects.filter(content_type__model="usagerecord").exists()


def test_who_may_only_look_has_no_button_and_cannot_cancel(
    viewer: Client, server: Server
) -> None:
    server.run([REQUEST])
    html = viewer.get(PAGE).content.decode()
    assert "tiny" in html
    assert "Cancel…" not in html
    for method in (viewer.get, viewer.post):
        assert method(CANCEL).status_code == 403
    assert server.cancelled == []


def test_the_right_to_see_usage_is_not_that_to_see_what_runs(
    client: Client, server: Server
) -> None:
    client.force_login(make_user("uma", "accounts.view_usagerecord", is_staff=True))
    for url in (PAGE, STATUS, CANCEL):
        assert client.get(url).status_code == 403
