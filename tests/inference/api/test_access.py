"""Who may call what, and how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Scope
from inference.api import view
from llm_manager.lib import threads
from tests.factories import make_api_key
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, chat_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Model
    from tests.fakes import FakeEngineClient

ROUTES = [
    ("POST", "/v1/chat/completions", Scope.INFERENCE),
    ("POST", "/v1/completions", Scope.INFERENCE),
    ("POST", "/v1/embeddings", Scope.INFERENCE),
    ("POST", "/v1/rerank", Scope.INFERENCE),
    ("POST", "/rerank", Scope.INFERENCE),
    ("POST", "/v1/messages", Scope.INFERENCE),
    ("POST", "/messages/count_tokens", Scope.INFERENCE),
    ("POST", "/tokenize", Scope.INFERENCE),
    ("POST", "/detokenize", Scope.INFERENCE),
    ("POST", "/apply-template", Scope.INFERENCE),
    ("GET", "/v1/models", Scope.INFERENCE),
    ("GET", "/v1/models/tiny", Scope.INFERENCE),
    ("POST", "/v1/models/tiny/load", Scope.MODELS),
    ("POST", "/v1/models/tiny/unload", Scope.MODELS),
    ("GET", "/health/detailed", Scope.ADMIN),
    ("GET", "/metrics", Scope.ADMIN),
]


async def call(api: Api, method: str, path: str) -> Any:
    """Call a route with a body that is never looked at."""
    return await (api.get(path) if method == "GET" else api.post(path, {}))


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_without_a_key_it_is_401(
    model: Model, method: str, path: str, scope: str
) -> None:
    for secret in (None, "sk-llmm-000000000000-wrong", "not-needed"):
        response = await call(Api(secret), method, path)
        error = response.json()["error"]
        said = error.get("code", error["type"])
        assert response.status_code == 401
        assert said in ("invalid_api_key", "authentication_error")
        assert response["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
async def test_with_a_key_for_other_things_it_is_403(
    model: Model, method: str, path: str, scope: str
) -> None:
    others = [other for other in Scope.values if other != scope]
    _, secret = await sync_to_async(make_api_key)(scopes=others)

    response = await call(Api(secret), method, path)

    error = response.json()["error"]
    assert response.status_code == 403
    said = error.get("code", error["type"])
    assert said in ("insufficient_scope", "permission_error")
    assert scope in error["message"]


async def test_where_no_key_is_asked_for_inference_is_open_and_nothing_else(
    api: Api, settings: Any, engine: FakeEngineClient
) -> None:
    settings.AUTH_REQUIRED = False
    nobody = Api(None)

    for caller in (nobody, Api("not-needed")):
        for method, path, scope in ROUTES:
            response = await call(caller, method, path)
            # The body is empty: a request that is let in gets an error about it.
            let_in = 200 if method == "GET" else 400
            assert response.status_code == (let_in if scope == Scope.INFERENCE else 401)
    assert (await nobody.chat()).status_code == 200
    assert (engine.requests[0].owner, engine.requests[0].key) == ("", "ip:127.0.0.1")
    assert engine.requests[0].weight == 1
    assert (await Api("sk-llmm-000000000000-wrong").chat()).status_code == 200
    assert engine.requests[1].key == "ip:127.0.0.1"


async def test_the_keys_weight_and_the_requests_priority_go_with_the_job(
    api: Api, engine: FakeEngineClient
) -> None:
    key, secret = await sync_to_async(make_api_key)(weight=2.5)
    heavy = Api(secret)

    assert (await heavy.chat(priority=-3, n=2)).status_code == 200
    assert (await heavy.complete(priority=7)).status_code == 200

    assert {(request.key, request.weight) for request in engine.requests} == {
        (key.prefix, 2.5)
    }
    assert [request.priority for request in engine.requests] == [-3, -3, 7]


async def test_a_key_that_has_just_been_checked_takes_no_thread_to_check(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    in_turn = threads.in_turn

    async def counted(client: str, function: Any, *args: Any) -> Any:
        checked.append(function.__name__)
        return await in_turn(client, function, *args)

    monkeypatch.setattr(view, "in_turn", counted)
    key, secret = await sync_to_async(make_api_key)()
    known = Api(secret)
    for _ in range(2):
        assert (await known.chat()).status_code == 200
    assert checked == ["admit", "enter", "enter"]
    # What this process changes is seen at once all the same.
    await sync_to_async(key.revoke)()
    refused = await known.chat()
    assert refused.status_code == 401
    assert refused.json()["error"]["code"] == "invalid_api_key"
    assert checked[3:] == ["admit"]


async def test_a_spent_limit_is_429_and_says_until_when(
    api: Api, engine: FakeEngineClient
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=1)
    limited = Api(secret)

    first = await limited.chat()
    second = await limited.chat()

    assert first.status_code == 200
    assert first["x-ratelimit-limit-requests"] == "1"
    assert first["x-ratelimit-remaining-requests"] == "0"
    assert second.status_code == 429
    assert second.json()["error"]["code"] == "rate_limit_exceeded"
    assert second.json()["error"]["type"] == "rate_limit_error"
    assert 1 <= int(second["retry-after"]) <= 60
    assert second["x-ratelimit-remaining-requests"] == "0"
    assert len(engine.requests) == 1
    assert (await limited.get("/v1/models")).status_code == 200
    assert (await limited.get("/health")).status_code == 200


async def test_a_client_that_guesses_keys_is_429(
    api: Api, configure: Callable[..., None]
) -> None:
    configure(server__rate_limit=2)

    statuses = [
        (await Api("sk-llmm-000000000000-wrong").get("/v1/models")).status_code
        for _ in range(3)
    ]

    assert statuses == [401, 401, 429]
    assert (await api.get("/v1/models")).status_code == 200


async def test_x_api_key_works_too(
    api: Api, key: tuple[Any, str], engine: FakeEngineClient
) -> None:
    headers = {"X-API-Key": key[1]}

    response = await Api(None).post("/v1/chat/completions", chat_body(), **headers)

    assert response.status_code == 200


async def test_a_request_for_several_answers_counts_as_that_many(
    model: Model, engine: FakeEngineClient
) -> None:
    _, secret = await sync_to_async(make_api_key)(
        scopes=[Scope.INFERENCE], rate_limit=8
    )
    api = Api(secret)
    for _ in range(6):
        engine.enqueue(begun(), [tokens("a"), finished()])

    too_many = await api.complete(prompt=["a", "b", "c"], n=3)
    first = await api.complete(prompt=["a", "b"], n=3)
    second = await api.complete(n=3)

    assert too_many.status_code == 400
    assert "counts as 9 requests" in too_many.json()["error"]["message"]
    assert first.status_code == 200
    assert first["x-ratelimit-cost-requests"] == "6"
    assert first["x-ratelimit-remaining-requests"] == "1"
    assert second.status_code == 429
    assert "counts as 3" in second.json()["error"]["message"]
