"""What clients get of answers that are large, odd or in truth errors."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference.prompts.token_estimate import estimate_tokens
from inference.upstreams import json_pool
from inference.upstreams.connections import links
from registry.hub.errors import AddressRefused
from tests.inference.api.conftest import events_of, read_stream
from tests.scripted_upstream import CHAT, DONE, USAGE_CHUNK, Answer, Asked, chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.inference.api.conftest import Api
    from tests.inference.api.forwarding.conftest import Upstreams


async def chat(asked: Asked, answer: Answer) -> None:
    if not asked.json.get("stream"):
        await answer.whole(CHAT)
        return
    await answer.begin()
    await answer.send(chunk("Hello", finish_reason="stop"))
    await answer.send(USAGE_CHUNK + DONE)


async def _at_rest() -> None:
    """Wait for what goes on in the background after an answer."""
    await asyncio.wait_for(asyncio.gather(*links()._tasks), 60)


async def test_one_connection_of_http_1_1_serves_streams_one_after_the_other(
    api: Api, upstreams: Upstreams
) -> None:
    _, server = await upstreams.model(chat, keeps_alive=True)
    for is_stream in (True, True, False, True):
        response = await api.chat(model="far", stream=is_stream)
        if is_stream:
            assert events_of(await read_stream(response))[-1] == "[DONE]"
        await _at_rest()
    assert len(server.posts) == 4
    assert server.connections == 1


async def test_a_client_that_leaves_takes_its_connection_along(
    api: Api, upstreams: Upstreams
) -> None:
    async def endless(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        while True:
            await answer.send(chunk("Hello"))
            await asyncio.sleep(0.01)

    _, server = await upstreams.model(endless, keeps_alive=True)
    response = await api.chat(model="far", stream=True)
    events = response.streaming_content
    await anext(events)
    await events.aclose()
    await asyncio.wait_for(server.was_left.wait(), 60)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"message": "out of memory"}, 502, "upstream_failed"),
        ("out of memory", 502, "upstream_failed"),
        ({"message": "out of memory", "code": 400}, 400, "upstream_refused"),
        ({"message": "out of memory", "code": 429}, 503, "upstream_busy"),
    ],
)
async def test_an_error_with_the_status_200_is_an_error_here(
    api: Api,
    upstreams: Upstreams,
    rows: list[dict[str, Any]],
    error: Any,
    status: int,
    code: str,
    *,
    is_stream: bool,
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.whole({"error": error})

    await upstreams.model(fails)
    response = await api.chat(model="far", stream=is_stream)
    said = response.json()["error"]
    assert (response.status_code, said["code"]) == (status, code)
    assert "out of memory" in said["message"]
    assert rows[0]["status"] == status


async def test_errors_with_the_status_200_open_the_breaker(
    api: Api, upstreams: Upstreams, configure: Callable[..., None]
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.whole({"error": {"message": "no"}})

    configure(upstreams__failures=2, upstreams__pause=600)
    _, server = await upstreams.model(fails)
    statuses = [(await api.chat(model="far")).status_code for _ in range(3)]
    assert statuses == [502, 502, 503]
    assert len(server.posts) == 2


async def test_a_response_that_failed_is_an_error_here(
    api: Api, upstreams: Upstreams
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        error = {"code": "server_error", "message": "no memory"}
        await answer.whole({"id": "resp_1", "status": "failed", "error": error})

    await upstreams.model(fails)
    body = {"model": "far", "input": "Hi", "store": False}
    response = await api.post("/v1/responses", body)
    assert response.status_code == 502
    assert "no memory" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "said",
    [
        "cannot reach http://10.1.2.3:8000",
        "backend 127.0.0.1 is down",
        "fd00::12 does not answer",
    ],
)
async def test_addresses_inside_the_network_are_not_named_to_clients(
    api: Api, upstreams: Upstreams, said: str
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.whole({"error": {"message": said}}, 500)

    await upstreams.model(fails)
    message = (await api.chat(model="far")).json()["error"]["message"]
    assert message == "The upstream 'server of far' fails with the status 500."


async def test_a_refused_address_is_for_the_log_and_not_for_clients(
    api: Api,
    upstreams: Upstreams,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await upstreams.model(chat)

    def refuse(*_: Any) -> None:
        raise AddressRefused("The host 'x' is refused: 10.0.0.7 is a private address.")

    monkeypatch.setattr("registry.hub.network._addresses", refuse)
    response = await api.chat(model="far")
    assert response.status_code == 502
    assert "10.0.0.7" not in response.content.decode()
    assert "10.0.0.7" in caplog.text


def _answer(named: str, **more: Any) -> dict[str, Any]:
    return {**CHAT, "model": named, **more}


@pytest.mark.parametrize(
    "sent",
    [
        # Another name than the one that was asked for, as hosted APIs answer.
        json.dumps(_answer("far-away-2026-11-30")),
        json.dumps(_answer("ферн"), ensure_ascii=False),
        json.dumps(_answer("fär/away")).replace("/", "\\/"),
        json.dumps(_answer("far-away")).replace('"model":', '"model" :'),
        # A schema that was sent comes back before the name.
        json.dumps({"tools": [{"model": "far-away"}], **_answer("far-away")}),
        json.dumps(_answer("far-away"), indent=1) + "\n",
    ],
)
async def test_the_models_name_in_an_answer_is_the_one_here(
    api: Api, upstreams: Upstreams, sent: str
) -> None:
    async def say(asked: Asked, answer: Answer) -> None:
        if asked.json.get("stream"):
            await answer.begin()
            await answer.send(f"id: 7\ndata: {json.dumps(json.loads(sent))}\n\n{DONE}")
        else:
            await answer.begin(kind="application/json")
            await answer.send(sent)

    await upstreams.model(say)
    expected = {**json.loads(sent), "model": "far"}
    assert (await api.chat(model="far")).json() == expected
    text = b"".join(await read_stream(await api.chat(model="far", stream=True)))
    number, data, *_ = text.decode().splitlines()
    assert number == "id: 7"
    assert json.loads(data.removeprefix("data: ")) == expected


async def test_events_of_a_response_have_the_models_name_here(
    api: Api, upstreams: Upstreams
) -> None:
    async def respond(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        for kind in ("created", "completed"):
            tools = [{"type": "function", "parameters": {"model": "far-away"}}]
            response = {"model": "far-away-2026", "tools": tools, "status": kind}
            event = {"type": f"response.{kind}", "response": response}
            await answer.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")

    await upstreams.model(respond)
    body = {"model": "far", "input": "Hi", "store": False, "stream": True}
    pieces = await read_stream(await api.post("/v1/responses", body))
    lines = b"".join(pieces).decode().splitlines()
    found = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert [each["response"]["model"] for each in found] == ["far", "far"]
    named = found[0]["response"]["tools"][0]["parameters"]["model"]
    assert named == "far-away"


async def test_large_bodies_and_answers_are_read_and_written_elsewhere(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    vectors = [
        {"object": "embedding", "index": number, "embedding": [0.25] * 1000}
        for number in range(64)
    ]

    async def embed(asked: Asked, answer: Answer) -> None:
        usage = {"prompt_tokens": 3, "total_tokens": 3}
        await answer.whole({"data": vectors, "model": "far-away", "usage": usage})

    _, server = await upstreams.model(embed)
    texts = [f"{number} ünd " * 400 for number in range(64)]
    response = await api.post("/v1/embeddings", {"model": "far", "input": texts})
    assert server.posts[0].json == {"model": "far-away", "input": texts}
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    assert response.json() == {"data": vectors, "model": "far", "usage": usage}
    assert rows[0]["prompt_tokens"] == 3
    assert json_pool._pool().pids


async def test_a_large_event_is_read_elsewhere(api: Api, upstreams: Upstreams) -> None:
    async def write(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        await answer.send(chunk("long " * 50_000, finish_reason="stop"))
        await answer.send(USAGE_CHUNK + DONE)

    await upstreams.model(write)
    first, _ = events_of(await read_stream(await api.chat(model="far", stream=True)))
    assert first["choices"][0]["delta"]["content"] == "long " * 50_000
    assert first["model"] == "far"


async def test_a_large_answer_that_cannot_be_read_is_an_error(
    api: Api, upstreams: Upstreams
) -> None:
    async def nested(asked: Asked, answer: Answer) -> None:
        await answer.begin(kind="application/json")
        await answer.send("[" * 500_000)

    await upstreams.model(nested)
    response = await api.chat(model="far")
    assert response.status_code == 502
    assert "cannot be read" in response.json()["error"]["message"]


async def test_tokens_are_estimated_where_a_large_answer_has_no_usage(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    message = {"role": "assistant", "content": "word " * 40_000}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}

    async def write(asked: Asked, answer: Answer) -> None:
        await answer.whole({"model": "far-away", "choices": [choice]})

    await upstreams.model(write)
    assert (await api.chat(model="far")).status_code == 200
    [row] = rows
    assert row["is_estimated"]
    assert row["completion_tokens"] == estimate_tokens(message["content"])
    assert row["finish_reason"] == "stop"


async def test_hosted_tools_are_left_out_of_responses_and_that_is_said(
    api: Api, upstreams: Upstreams
) -> None:
    async def respond(asked: Asked, answer: Answer) -> None:
        await answer.whole({"id": "resp_1", "status": "completed", "output": []})

    _, server = await upstreams.model(respond)
    search = {"type": "web_search", "filters": {"allowed_domains": ["inside.test"]}}
    own = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    added = {"type": "additional_tools", "role": "developer", "tools": [search, own]}
    body = {
        "model": "far",
        "input": [added, {"role": "user", "content": "Hi"}],
        "tools": [search, own],
        "store": False,
    }
    response = await api.post("/v1/responses", body)
    assert response.status_code == 200, response.content
    left_out = response["x-llm-manager-left-out"]
    assert left_out == "tools[0], input[0].tools[0]"
    [asked] = server.posts
    assert asked.json["tools"] == [own]
    assert asked.json["input"][0]["tools"] == [own]


async def test_without_any_other_tool_no_choice_of_tools_is_sent(
    api: Api, upstreams: Upstreams
) -> None:
    async def respond(asked: Asked, answer: Answer) -> None:
        await answer.whole({"id": "resp_1", "status": "completed", "output": []})

    _, server = await upstreams.model(respond)
    body = {"model": "far", "input": "Hi", "store": False}
    body["tools"] = [{"type": "web_search"}]
    response = await api.post("/v1/responses", {**body, "tool_choice": "auto"})
    assert response.status_code == 200, response.content
    assert not {"tools", "tool_choice"} & set(server.posts[0].json)
    refused = await api.post("/v1/responses", {**body, "tool_choice": "required"})
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "tool_choice"
    assert len(server.posts) == 1


async def test_tools_of_anthropics_host_are_left_out_of_messages(
    api: Api, upstreams: Upstreams
) -> None:
    async def message(asked: Asked, answer: Answer) -> None:
        await answer.whole({"type": "message", "model": "far-away", "content": []})

    _, server = await upstreams.model(message, dialect="anthropic")
    own = {"name": "look", "input_schema": {"type": "object"}}
    body = {
        "model": "far",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}, own],
        "mcp_servers": [{"type": "url", "url": "https://a.test/", "name": "a"}],
    }
    response = await api.post("/v1/messages", body)
    assert response.status_code == 200, response.content
    assert response["x-llm-manager-left-out"] == "tools[0], mcp_servers"
    assert server.posts[0].json["tools"] == [own]
    assert "mcp_servers" not in server.posts[0].json


async def test_an_upstream_that_fails_is_checked_at_once(
    api: Api, upstreams: Upstreams
) -> None:
    is_broken = False

    async def say(asked: Asked, answer: Answer) -> None:
        await answer.whole({} if is_broken else CHAT, 500 if is_broken else 200)

    async def state() -> str:
        await api.chat(model="far")
        await _at_rest()
        await sync_to_async(model.upstream.refresh_from_db)()
        return model.upstream.state

    model, server = await upstreams.model(say)
    assert await state() == "healthy"
    server.models.clear()
    # It was checked a moment ago.
    assert await state() == "healthy"
    is_broken = True
    assert await state() == "failing"
