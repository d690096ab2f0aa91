"""Errors have the shape of the API that a client speaks, wherever they come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from inference.api.error_shapes.choice import response_in_shape
from inference.api.error_shapes.failure import Failure
from inference.api.messages.view import MessagesView
from llm_manager.web.middleware.failures import Failures, scope_refusal
from tests.factories import make_api_key
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from registry.models import Model

FAULT = Failure(503, "server_error", "server_busy", "Not now.")
VERSION = {"anthropic-version": "2023-06-01"}


def shape(body: Any) -> str:
    """Return whose shape an error has."""
    if isinstance(body["error"], str):
        return "ollama"
    if body.get("type") == "error":
        assert set(body["error"]) == {"type", "message"}
        return "anthropic"
    assert {"message", "type", "param", "code"} <= set(body["error"])
    return "openai"


def shape_of(path: str, *headers: str) -> tuple[str, int]:
    """Return whose shape the error of a request has, and its status."""
    response = response_in_shape(FAULT, path, headers)
    return shape(json.loads(response.content)), response.status_code


def test_the_path_or_the_header_says_whose_shape(
    configure: Callable[..., None],
) -> None:
    for path in ("/v1/messages", "/v1/messages/batches", "/messages/", "//v1/messages"):
        assert shape_of(path) == ("anthropic", 529), path
    for path in ("/v1/models", "/v1/anything"):
        assert shape_of(path, "anthropic-version") == ("anthropic", 529), path
        assert shape_of(path, "accept") == ("openai", 503), path
    for path in ("/v1/chat/completions", "/v1/my/messages", "", "/", "/v1"):
        assert shape_of(path) == ("openai", 503), path
    configure(api__ollama=True)
    assert shape_of("/api/pull") == ("ollama", 503)
    # A client of OpenAI's API with a wrong address.
    assert shape_of("/api/v1/chat/completions") == ("openai", 503)
    assert shape_of("/v1/api") == ("openai", 503)
    configure(api__ollama=False)
    assert shape_of("/api/pull") == ("openai", 503)


async def test_what_fails_beside_the_views_has_the_same_shape() -> None:
    async def fail(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    for path, whose in (("/v1/messages", "anthropic"), ("/v1/responses", "openai")):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        scope: Any = {"path": path, "headers": [(b"accept", b"*/*")]}
        await Failures(fail)(scope, None, send)  # type: ignore[arg-type]

        start, body = sent
        assert start["status"] == 500
        assert shape(json.loads(body["body"])) == whose
        scope["headers"] = [(b"accept", b"text/html")]
        page = scope_refusal(FAULT, scope)
        assert page["Content-Type"].startswith("text/html")


async def test_every_fault_of_messages_has_anthropics_shape(
    model: Model,
    settings: Any,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The window must outlast the test.
    configure(server__rate_limit_window=3600)
    _, secret = await sync_to_async(make_api_key)(rate_limit=0)
    api = Api(secret)
    path = "/v1/messages"
    body = {"model": "tiny", "max_tokens": 5, "messages": []}

    async def check(response: Any, status: int, kind: str) -> None:
        assert response.status_code == status, response.content
        assert shape(response.json()) == "anthropic"
        assert response.json()["error"]["type"] == kind

    await check(await Api(None).post(path, body), 401, "authentication_error")
    await check(await Api("sk-x").post(path, body), 401, "authentication_error")
    await check(await api.get(path), 405, "invalid_request_error")
    await check(await api.post(path, b"{"), 400, "invalid_request_error")
    await check(await api.post(path, b'{"a":1,"a":2}'), 400, "invalid_request_error")
    await check(await api.post(f"{path}/batches", body), 404, "not_found_error")
    plain = await api.client.generic(
        *("POST", path, b"x"), content_type="text/plain", headers=api.headers()
    )
    await check(plain, 415, "invalid_request_error")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    await check(await api.post(path, body), 413, "request_too_large")
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10**6
    with monkeypatch.context() as patched:
        patched.setattr(MessagesView, "prepare", lambda view, request: 1 / 0)
        await check(await api.post(path, body), 500, "api_error")
    _, limited = await sync_to_async(make_api_key)(rate_limit=1)
    for _ in range(2):
        response = await Api(limited).post(path, body)
    await check(response, 429, "rate_limit_error")


async def test_faults_of_models_have_anthropics_shape_for_its_clients(
    api: Api,
) -> None:
    for path in ("/v1/models", "/v1/models/none"):
        for response in (
            await Api(None).get(path, **VERSION),
            await api.send("PUT", path, {}, **VERSION),
        ):
            assert response.status_code in (401, 405)
            assert shape(response.json()) == "anthropic"
            assert "Allow" in response or response.status_code == 401
    missing = await api.get("/v1/models/none", **VERSION)
    assert (missing.status_code, shape(missing.json())) == (404, "anthropic")
    plain = await api.get("/v1/models/none")
    assert (plain.status_code, shape(plain.json())) == (404, "openai")
