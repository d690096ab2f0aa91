"""The headers of every answer, and which origins may read them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.inference.api.conftest import Api, chat_body
from tests.llm_manager.web.connection import Connection


def chat(api: Api, **overrides: Any) -> Connection:
    """Return a chat request; ``headers`` are sent with it."""
    headers = overrides.pop("headers", None)
    return Connection(
        "/v1/chat/completions",
        method="POST",
        secret=api.secret,
        body=json.dumps(chat_body(**overrides)).encode(),
        headers=headers,
    )


async def test_every_answer_of_the_api_has_the_headers(api: Api) -> None:
    for request in (
        chat(api),
        chat(api, n=0),
        chat(api, stream=True),
        Connection("/v1/nothing"),
        Connection("/health"),
    ):
        headers = (await request.answer()).headers
        assert re.fullmatch("[0-9a-f]{32}", headers["x-request-id"])
        assert int(headers["openai-processing-ms"]) >= 0
        assert headers["openai-version"] == "2020-10-01"
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.django_db(transaction=True)
async def test_pages_and_requests_that_cannot_be_read_have_an_id_too() -> None:
    for request in (
        Connection("/admin/login/"),
        Connection("/nowhere"),
        Connection("/health", query=b"\xff"),
    ):
        assert (await request.answer()).headers["x-request-id"]


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
    request = Connection("/health", headers={"X-Request-Id": given})

    assert ((await request.answer()).headers["x-request-id"] == given) == is_kept


async def test_a_host_that_is_not_ours_is_400_in_json(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["llm.example"]
    refused = await Connection("/health").answer()
    settings.ALLOWED_HOSTS = ["localhost"]
    served = await Connection("/health").answer()

    assert (refused.status, served.status) == (400, 200)
    assert refused.json()["error"]["code"] == "host_not_allowed"
    assert "server.allowed_hosts" in refused.json()["error"]["message"]
    assert refused.headers["x-request-id"]


async def test_a_body_that_says_it_is_too_long_is_413_before_the_key_is_read() -> None:
    answer = await Connection(
        "/v1/completions", method="POST", headers={"content-length": str(2**40)}
    ).answer()

    assert answer.status == 413
    assert answer.json()["error"]["code"] == "request_too_large"


async def test_browsers_may_call_from_the_configured_origins_only(
    api: Api, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

    for origin, is_allowed in (
        ("https://app.example", True),
        ("https://evil.example", False),
    ):
        preflight = Connection(
            "/v1/chat/completions",
            method="OPTIONS",
            headers={"Access-Control-Request-Method": "POST", "Origin": origin},
        )
        refused = Connection("/v1/models", headers={"Origin": origin})
        answered = Connection(
            "/v1/models", secret=api.secret, headers={"Origin": origin}
        )
        for request, status in ((preflight, 200), (refused, 401), (answered, 200)):
            answer = await request.answer()
            assert answer.status == status
            allowed = answer.headers.get("access-control-allow-origin")
            assert (allowed == origin) == is_allowed
            assert answer.headers["x-request-id"]


#: What the packages for JavaScript send of their own accord from a page.
_SENT_BY_CLIENTS = {
    "/v1/responses": ("authorization", "content-type", "x-stainless-os"),
    "/v1/messages": (
        *("x-api-key", "anthropic-version", "anthropic-beta", "x-stainless-lang"),
        "anthropic-dangerous-direct-browser-access",
    ),
    "/api/chat": ("authorization", "content-type"),
}


@pytest.mark.parametrize("path", _SENT_BY_CLIENTS)
async def test_a_page_of_another_origin_may_send_what_clients_send(
    settings: Any, path: str
) -> None:
    origin = "https://app.example"
    settings.CORS_ALLOWED_ORIGINS = [origin]
    sent = _SENT_BY_CLIENTS[path]

    answer = await Connection(
        path,
        method="OPTIONS",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": ",".join(sent),
        },
    ).answer()

    assert answer.headers["access-control-allow-origin"] == origin
    assert set(sent) <= set(answer.headers["access-control-allow-headers"].split(", "))


async def test_a_page_of_another_origin_reads_streams_and_ids(
    api: Api, settings: Any
) -> None:
    origin = "https://app.example"
    closed = await chat(api, headers={"Origin": origin}).answer()
    settings.CORS_ALLOWED_ORIGINS = [origin]
    stream = await chat(api, stream=True, headers={"Origin": origin}).answer()

    assert "access-control-allow-origin" not in closed.headers
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert stream.headers["access-control-allow-origin"] == origin
    for name in (
        "x-request-id",
        "request-id",
        "x-llm-manager-left-out",
        "x-ratelimit-remaining-requests",
        "x-should-retry",
    ):
        assert name in stream.headers["access-control-expose-headers"]
