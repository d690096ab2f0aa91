"""Requests with an Idempotency-Key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference.transport import answer_log
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import chat_body, read_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


@pytest.fixture(autouse=True)
async def _quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(answer_log, "_WAIT_S", 0.1)
    yield
    await channel_layers["queue"].flush()


async def ask(api: Api, key: str = "k1", **overrides: Any) -> Any:
    return await api.post(
        "/v1/chat/completions", chat_body(**overrides), **{"Idempotency-Key": key}
    )


async def test_a_repeated_request_gets_the_kept_answer(
    api: Api, engine: FakeEngineClient
) -> None:
    first = (await ask(api)).json()
    second = (await ask(api)).json()
    assert first["choices"] == second["choices"]
    assert engine.so_far[0] == []
    assert [type(event).__name__ for event in engine.so_far[1]] == [
        "Accepted",
        *["SequenceOutput"] * 4,
    ]


async def test_without_the_header_nothing_is_kept(
    api: Api, engine: FakeEngineClient
) -> None:
    for _ in range(2):
        await api.post("/v1/chat/completions", chat_body())
    assert engine.so_far == [[], []]


async def test_another_body_under_the_same_key_is_refused(api: Api) -> None:
    await ask(api)
    answer = await ask(api, max_tokens=3)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "idempotency_key_reused")
    assert "Use another key" in error["message"]


async def test_a_request_that_is_being_answered_is_not_answered_twice(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hello"), finished()])
    running = await ask(api, stream=True)
    answer = await ask(api, stream=True)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_in_use"
    await read_stream(running)


@pytest.mark.parametrize("text", ["", " ", "a b", "ä", "x" * 256])
async def test_a_key_that_is_none_is_refused(api: Api, text: str) -> None:
    answer = await ask(api, text)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"
