"""What every request gets."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from llm_manager.web import middleware
from tests.fakes import begun
from tests.inference.api.conftest import Api, chat_body, read_stream

if TYPE_CHECKING:
    from tests.fakes import FakeEngineClient


async def test_every_answer_has_the_three_headers(api: Api) -> None:
    for response in (
        await api.chat(),
        await api.chat(n=0),
        await api.chat(stream=True),
        await api.get("/v1/nothing"),
        await api.get("/health"),
    ):
        assert re.fullmatch("[0-9a-f]{32}", response["x-request-id"])
        assert int(response["openai-processing-ms"]) >= 0
        assert response["openai-version"] == "2020-10-01"
        assert response["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("my-id_1.2", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ("é", False),
        ("a\n", False),
        ("", False),
    ],
)
async def test_a_good_request_id_is_kept(given: str, is_kept: bool) -> None:
    response = await Api(None).get("/health", **{"X-Request-Id": given})

    assert (response["x-request-id"] == given) == is_kept


async def test_one_line_is_logged_without_query_body_or_secret(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_manager.access")

    await api.post("/v1/chat/completions?token=secret", b"secret")
    await api.get("/v1/a%0Ab")

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert re.fullmatch(
        r"POST /v1/chat/completions 400 \d+ ms id=[0-9a-f]{32}", lines[0]
    )
    assert lines[1].startswith("GET /v1/a%0Ab 404 ")
    assert "secret" not in caplog.text
    assert str(api.secret) not in caplog.text


async def test_a_stream_is_logged_when_it_ends(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_manager.access")

    response = await api.chat(stream=True)
    assert caplog.records == []
    await read_stream(response)
    await sync_to_async(response.close)()

    assert [record.getMessage()[:30] for record in caplog.records] == [
        "POST /v1/chat/completions 200 "
    ]


async def test_a_client_that_went_away_is_logged_as_499(
    api: Api, engine: FakeEngineClient, caplog: pytest.LogCaptureFixture
) -> None:
    import asyncio

    caplog.set_level(logging.INFO, "llm_manager.access")
    engine.enqueue(begun())
    request = asyncio.create_task(api.chat())
    while not engine.streams:
        await asyncio.sleep(0.01)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert " 499 " in caplog.records[-1].getMessage()


async def test_the_api_is_reached_past_the_admins_middleware(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the session middleware ran")

    session = "django.contrib.sessions.middleware.SessionMiddleware"
    monkeypatch.setattr(f"{session}.process_request", fail)

    assert (await Api(None).get("/health")).status_code == 200
    response = await Api(None).get("/admin/login/")
    assert response.status_code == 500


async def test_a_host_that_is_not_ours_is_400_in_json(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["llm.example"]
    refused = await Api(None).get("/health")
    settings.ALLOWED_HOSTS = ["testserver"]
    served = await Api(None).get("/health")

    assert (refused.status_code, served.status_code) == (400, 200)
    assert refused.json()["error"]["code"] == "bad_request"
    assert refused["x-request-id"]


async def test_browsers_may_call_from_the_configured_origins_only(
    api: Api, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    preflight = {"Access-Control-Request-Method": "POST"}

    for origin, is_allowed in (
        ("https://app.example", True),
        ("https://evil.example", False),
    ):
        asked = await Api(None).client.options(
            "/v1/chat/completions", headers={**preflight, "Origin": origin}
        )
        refused = await Api(None).get("/v1/models", Origin=origin)
        answered = await api.get("/v1/models", Origin=origin)
        for response, status in ((asked, 200), (refused, 401), (answered, 200)):
            assert response.status_code == status
            allowed = response.get("access-control-allow-origin")
            assert (allowed == origin) == is_allowed
            assert response["x-request-id"]


async def test_a_page_of_another_origin_reads_streams_and_ids(
    api: Api, settings: Any
) -> None:
    origin = "https://app.example"
    closed = await api.post("/v1/chat/completions", {}, Origin=origin)
    settings.CORS_ALLOWED_ORIGINS = [origin]
    body = {**chat_body(), "stream": True}
    stream = await api.post("/v1/chat/completions", body, Origin=origin)
    await read_stream(stream)

    assert "access-control-allow-origin" not in closed
    assert stream["content-type"] == "text/event-stream; charset=utf-8"
    assert stream["access-control-allow-origin"] == origin
    assert "x-request-id" in stream["access-control-expose-headers"]


@pytest.mark.django_db
def test_under_wsgi_it_works_too(settings: Any) -> None:
    client = Client(raise_request_exception=False)

    health = client.get("/health", headers={"x-request-id": "abc"})
    too_large = client.post("/v1/completions", CONTENT_LENGTH=str(2**40))
    missing = client.get("/v1/nothing")

    assert (health.status_code, health["x-request-id"]) == (200, "abc")
    assert too_large.status_code == 413
    assert missing.json()["error"]["code"] == "unknown_url"
    assert client.get("/admin/login/").status_code == 200


def test_the_middleware_is_the_outermost(settings: Any) -> None:
    name = f"{middleware.__name__}.{middleware.RequestMiddleware.__name__}"

    assert settings.MIDDLEWARE[0] == name
