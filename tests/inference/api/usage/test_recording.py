"""Every request of a known key has one row, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers

from accounts.usage.recorder import usage_recorder
from inference.errors import EngineUnavailable, QueueFull
from inference.transport.messages.events import Accepted
from tests.factories import make_api_key, make_team, make_user
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, chat_body, read_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from accounts.models import ApiKey
    from registry.models import Model
    from tests.fakes import FakeEngineClient
    from tests.inference.api.usage.conftest import Entries


def counts(entry: dict[str, Any]) -> tuple[int, int, int]:
    names = ("prompt_tokens", "cached_tokens", "completion_tokens")
    return entry[names[0]], entry[names[1]], entry[names[2]]


def end(entry: dict[str, Any]) -> tuple[int, bool]:
    return entry["status"], entry["completed"]


async def leave(stream: AsyncIterator[bytes]) -> None:
    """Stop reading, as the server does for a client that has left."""
    reader = asyncio.ensure_future(anext(stream))
    # It reads, and there is nothing to read.
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader


async def test_an_answer_is_recorded_with_who_what_and_how_much(
    api: Api,
    engine: FakeEngineClient,
    key: tuple[ApiKey, str],
    model: Model,
    entries: Entries,
) -> None:
    engine.enqueue(
        [Accepted("", 5, node="box", replica=2), *begun()[1:]],
        [tokens("Hello")],
        [
            finished(
                prompt=5,
                completion=3,
                cached=4,
                num_audio=2,
                num_drafted=6,
                num_accepted=1,
            )
        ],
    )
    response = await api.post(
        "/v1/chat/completions", chat_body(), **{"x-request-id": "mine"}
    )
    (entry,) = entries()
    assert counts(entry) == (5, 4, 3)
    assert end(entry) == (200, True)
    expected = {
        "key_id": key[0].pk,
        "key_name": key[0].name,
        "owner_name": key[0].owner.get_username(),
        "team_id": 0,
        "model_asked": "tiny",
        "model_id": model.pk,
        "model_name": "tiny",
        "endpoint": "chat-completions",
        "is_stream": False,
        "finish_reason": "stop",
        "audio_tokens": 2,
        "drafted_tokens": 6,
        "node": "box",
        "replica": 2,
        "client_address": "127.0.0.1",
    }
    assert {name: entry[name] for name in expected} == expected
    assert entry["queue_ms"] <= entry["first_token_ms"] <= entry["duration_ms"]
    assert response.json()["usage"]["completion_tokens"] == 3


async def test_labels_and_what_was_left_out_are_recorded(
    api: Api, entries: Entries
) -> None:
    await api.chat(metadata={"team": "a"}, store=True)
    asked = {"model": "tiny", "input": "Hi", "metadata": {"team": "b"}}
    await api.post("/v1/responses", {**asked, "tools": [{"type": "web_search"}]})

    chat, response = entries()
    assert (chat["metadata"], chat["left_out"]) == ('{"team": "a"}', "store")
    assert response["endpoint"] == "responses"
    assert response["metadata"] == '{"team": "b"}'
    assert response["left_out"] == "tools[0]"


async def test_a_response_in_the_background_is_one_row(
    api: Api, entries: Entries, configure: Callable[..., None]
) -> None:
    configure(api__store=True)
    answer = await api.post(
        "/v1/responses",
        {"model": "tiny", "input": "Hi", "background": True, "stream": True},
    )
    await read_stream(answer)

    (entry,) = entries()
    assert entry["endpoint"] == "responses"
    assert counts(entry) == (5, 0, 2)
    assert entry["key_name"]


async def test_several_answers_are_one_row_and_their_prompt_counts_once(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    engine.enqueue(begun(), [finished(completion=2)])
    engine.enqueue(begun(), [finished("length", completion=3)])
    response = await api.chat(n=2)
    (entry,) = entries()
    assert counts(entry) == (5, 0, 5)
    assert entry["finish_reason"] == "stop,length"
    assert response.json()["usage"]["total_tokens"] == 10


async def test_a_stream_is_recorded_before_its_last_event(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    response = await api.chat(stream=True)
    async for piece in aiter(response):
        if b"[DONE]" in piece:
            (entry,) = entries()
            assert end(entry) == (200, True)
            assert (entry["is_stream"], entry["completion_tokens"]) == (True, 2)
    assert len(entries()) == 1


async def test_a_client_that_leaves_is_recorded_with_what_it_got(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    engine.enqueue(begun(), [tokens("Hello", count=7)])
    response = await api.chat(stream=True)
    stream = aiter(response)
    while b"Hello" not in await anext(stream):
        pass
    assert entries() == []
    await leave(stream)
    (entry,) = entries()
    assert end(entry) == (499, False)
    assert counts(entry) == (5, 0, 7)


async def test_a_prompt_that_nobody_computed_does_not_count(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    engine.enqueue(begun()[:1], EngineUnavailable("gone"))
    assert (await api.chat()).status_code == 503
    (entry,) = entries()
    assert counts(entry) == (0, 0, 0)
    assert end(entry) == (503, True)


async def test_a_stream_that_fails_is_interrupted(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    engine.enqueue(begun(), [tokens("Hello")], EngineUnavailable("gone"))
    response = await api.chat(stream=True)
    assert b"gone" in b"".join([piece async for piece in aiter(response)])
    (entry,) = entries()
    assert end(entry) == (503, False)
    assert entry["error_code"] == EngineUnavailable.code
    assert counts(entry) == (5, 0, 1)


async def test_a_full_queue_is_recorded(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    engine.refuse(QueueFull("full"))
    await api.complete()
    (entry,) = entries()
    assert (*end(entry), entry["error_code"]) == (503, True, QueueFull.code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "a\x00"}, 404, "model_not_found"),
        ({"model": "tiny", "colour": 1}, 400, "unknown_parameter"),
        (b"{", 400, "invalid_json"),
    ],
)
async def test_what_is_refused_is_recorded(
    api: Api, entries: Entries, body: Any, status: int, code: str
) -> None:
    body = {"prompt": "x", **body} if isinstance(body, dict) else body
    response = await api.post("/v1/completions", body)
    (entry,) = entries()
    assert (*end(entry), entry["error_code"]) == (
        status,
        True,
        response.json()["error"]["code"],
    )
    assert entry["endpoint"] == "completions"
    if code == "model_not_found":
        assert entry["model_asked"] == "a\ufffd"


async def test_a_limit_that_refuses_is_named(
    model: Model, engine: FakeEngineClient, entries: Entries
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=1)
    api = Api(secret)
    for _ in range(2):
        await api.chat()
    answered, refused = entries()
    assert (answered["status"], refused["status"]) == (200, 429)
    assert "requests_minute" in refused["limit_name"]


async def test_a_wrong_key_leaves_no_row(
    model: Model, engine: FakeEngineClient, entries: Entries
) -> None:
    usage_recorder.end("first", {"status": 200})
    await Api("sk-llmm-wrong").chat()
    await Api(None).chat()
    assert [entry["id"] for entry in entries()] == ["first"]


async def test_a_request_without_a_key_has_a_row_where_none_is_needed(
    model: Model, engine: FakeEngineClient, entries: Entries, settings: Any
) -> None:
    settings.AUTH_REQUIRED = False
    await Api(None).chat()
    (entry,) = entries()
    assert "key_id" not in entry
    assert entry["client_address"] == "127.0.0.1"


async def test_a_team_is_recorded(
    model: Model, engine: FakeEngineClient, entries: Entries
) -> None:
    def make() -> str:
        owner = make_user()
        team = make_team(None, owner)
        return make_api_key(owner, team=team)[1]

    await Api(await sync_to_async(make)()).chat()
    (entry,) = entries()
    assert entry["team_id"] != 0
    assert entry["team_name"]


async def test_a_replay_counts_only_what_it_adds(
    api: Api, engine: FakeEngineClient, entries: Entries
) -> None:
    for _ in range(2):
        await api.post(
            "/v1/chat/completions", chat_body(), **{"Idempotency-Key": "once"}
        )
    first, second = entries()
    assert (counts(first), first["replayed_tokens"]) == ((5, 0, 2), 0)
    assert (counts(second), second["replayed_tokens"]) == ((0, 0, 0), 2)
    await channel_layers["queue"].flush()


async def test_a_request_costs_what_its_models_prices_say(
    api: Api, model: Model, engine: FakeEngineClient, entries: Entries
) -> None:
    def price() -> None:
        model.input_price, model.cached_price, model.output_price = 2, 1, 10
        model.save()

    await sync_to_async(price)()
    engine.enqueue(begun(), [finished(prompt=5, completion=3, cached=4)])
    await api.chat()
    (entry,) = entries()
    # Billionths: a million tokens for 2 are 2,000 billionths each.
    assert entry["cost"] == 1 * 2_000 + 4 * 1_000 + 3 * 10_000


async def test_progress_is_written_while_a_request_runs(
    api: Api, engine: FakeEngineClient, entries: Entries, configure: Callable[..., None]
) -> None:
    engine.enqueue(begun(), [tokens("Hello", count=7)])
    response = await api.chat(stream=True)
    stream = aiter(response)
    while b"Hello" not in await anext(stream):
        pass
    usage_recorder.note_progress()
    journal = usage_recorder._journal
    assert journal is not None
    (running,) = journal._open.values()
    assert running["completion_tokens"] == 7
    await leave(stream)
