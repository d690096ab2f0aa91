"""Requests for models that an upstream serves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import Limit, LimitKind
from inference.api.left_out import HEADER
from inference.transport.running.tracking import running_requests
from inference.upstreams.connections import links
from registry.models import Upstream
from tests.inference.api.conftest import events_of, read_stream
from tests.scripted_upstream import CHAT, DONE, USAGE_CHUNK, Answer, Asked, chunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from accounts.models import ApiKey
    from tests.inference.api.conftest import Api
    from tests.inference.api.forwarding.conftest import Upstreams

KEY = "sk-of-upstream"


async def chat(asked: Asked, answer: Answer) -> None:
    await answer.whole(CHAT)


async def chat_stream(asked: Asked, answer: Answer) -> None:
    await answer.begin()
    await answer.send(chunk("Hello"))
    await answer.send(chunk(" there"))
    await answer.send(chunk(finish_reason="stop"))
    await answer.send(USAGE_CHUNK + DONE)


async def test_a_chat_is_answered_by_the_upstream_under_the_models_name_here(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    _, server = await upstreams.model(chat)

    response = await api.chat(model="far", temperature=0.5, metadata={"job": "nightly"})

    assert response.status_code == 200
    assert response.json() == {**CHAT, "model": "far"}
    [asked] = server.posts
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json == {
        "model": "far-away",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
    }
    [row] = rows
    assert (row["model_name"], row["model_asked"]) == ("far", "far")
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 2)
    assert row["finish_reason"] == "stop"
    assert row["status"] == 200
    assert not row.get("is_estimated")


async def test_a_stream_has_the_upstreams_bytes_without_the_usage_that_nobody_asked_for(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    _, server = await upstreams.model(chat_stream)

    response = await api.chat(model="far", stream=True)
    pieces = await read_stream(response)

    assert response["content-type"].startswith("text/event-stream")
    expected = chunk("Hello") + chunk(" there") + chunk(finish_reason="stop") + DONE
    assert b"".join(pieces).decode() == expected.replace("far-away", "far")
    assert server.posts[0].json["stream_options"] == {"include_usage": True}
    [row] = rows
    assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 2)
    assert row["first_token_ms"] >= row["queue_ms"]
    assert row["completed"]


async def test_who_asks_for_the_usage_of_a_stream_gets_it(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat_stream)
    response = await api.chat(
        model="far", stream=True, stream_options={"include_usage": True}
    )
    *_, usage, done = events_of(await read_stream(response))
    assert usage["usage"]["total_tokens"] == 9
    assert done == "[DONE]"


async def test_a_piece_is_passed_on_before_the_next_one_comes(
    api: Api, upstreams: Upstreams
) -> None:
    may_go_on = asyncio.Event()

    async def slow(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        await answer.send(chunk("Hello"))
        await may_go_on.wait()
        await answer.send(chunk(" there", finish_reason="stop") + DONE)

    await upstreams.model(slow)
    response = await api.chat(model="far", stream=True)
    pieces = aiter(response)
    assert b"Hello" in await anext(pieces)
    may_go_on.set()
    assert b" there" in b"".join([piece async for piece in pieces])


async def test_without_the_upstreams_usage_the_row_has_an_estimate_and_says_so(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    async def no_usage(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        await answer.send(chunk("Hello there, how are you"))
        await answer.send(chunk(finish_reason="stop") + DONE)

    await upstreams.model(no_usage)
    await read_stream(await api.chat(model="far", stream=True))
    [row] = rows
    assert row["is_estimated"] is True
    assert 4 <= row["completion_tokens"] <= 10
    assert row["prompt_tokens"] >= 1


@pytest.mark.parametrize(
    ("name", "value"), [("grammar", 'root ::= "a"'), ("mirostat", 2), ("lora", [])]
)
async def test_a_parameter_that_the_upstream_cannot_take_is_refused_by_name(
    api: Api, upstreams: Upstreams, name: str, value: Any
) -> None:
    _, server = await upstreams.model(chat)
    response = await api.chat(model="far", **{name: value})
    error = response.json()["error"]
    assert response.status_code == 400
    assert error["param"] == name
    assert error["code"] == "unsupported_parameter"
    assert not server.posts


async def test_a_parameter_that_an_administrator_has_listed_is_refused_too(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat, model={"refused_parameters": ["seed"]})
    response = await api.chat(model="far", seed=1)
    assert response.json()["error"]["param"] == "seed"


async def test_an_unknown_member_is_refused_as_ever(
    api: Api, upstreams: Upstreams
) -> None:
    _, server = await upstreams.model(chat)
    response = await api.chat(model="far", tempratur=1)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "tempratur"
    assert not server.posts


async def test_an_api_that_the_model_lacks_is_refused(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat, model={"apis": ["chat"]})
    body = {"model": "far", "input": "text"}
    response = await api.post("/v1/embeddings", body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "model_without_api"
    assert "/v1/chat/completions" in error["message"]


async def test_what_needs_a_worker_is_refused_for_an_upstreams_model(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat)
    response = await api.post("/v1/tokenize", {"model": "far", "prompt": "a"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "model_without_api"


@pytest.mark.parametrize(
    ("status", "more", "expected", "code"),
    [
        (400, {}, 400, "upstream_refused"),
        (401, {}, 502, "upstream_failed"),
        (404, {}, 502, "upstream_failed"),
        (429, {"retry_after": "17"}, 503, "upstream_busy"),
        (500, {}, 502, "upstream_failed"),
        (302, {"location": "http://127.0.0.1/secret"}, 502, "upstream_failed"),
    ],
)
async def test_an_upstreams_error_comes_in_the_apis_own_shape_without_its_key(
    api: Api,
    upstreams: Upstreams,
    rows: list[dict[str, Any]],
    status: int,
    more: dict[str, str],
    expected: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        said = {"error": {"message": f"no good: {KEY}"}}
        await answer.whole(said, status, **more)

    _, server = await upstreams.model(fails)
    response = await api.chat(model="far")
    assert response.status_code == expected
    assert response.json()["error"]["code"] == code
    assert KEY not in response.content.decode() + caplog.text
    assert response.get("retry-after") == more.get("retry_after")
    assert len(server.posts) == 1
    assert rows[0]["error_code"] == code


async def test_an_upstreams_reason_is_passed_on(api: Api, upstreams: Upstreams) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.whole({"error": {"message": "context of 8 tokens"}}, 400)

    await upstreams.model(fails)
    response = await api.chat(model="far")
    assert "context of 8 tokens" in response.json()["error"]["message"]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_reason_that_is_shortened_within_the_key_is_not_passed_on(
    api: Api, upstreams: Upstreams, is_stream: bool
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        said = {"error": {"message": "x" * 95 + KEY + " is refused"}}
        if not is_stream:
            await answer.whole(said, 400)
            return
        await answer.begin()
        await answer.send(chunk("Hello") + f"data: {json.dumps(said)}\n\n")

    await upstreams.model(fails)
    response = await api.chat(model="far", stream=is_stream)
    if is_stream:
        text = b"".join(await read_stream(response)).decode()
    else:
        text = response.content.decode()
    assert "error" in text
    assert KEY[:5] not in text


async def _dies(asked: Asked, answer: Answer) -> None:
    await answer.begin()
    await answer.send(chunk("Hello"))


async def _garbage(asked: Asked, answer: Answer) -> None:
    await answer.begin()
    await answer.send(chunk("Hello"))
    await answer.send("data: {nonsense\n\n")


async def _error_event(asked: Asked, answer: Answer) -> None:
    await answer.begin()
    await answer.send(chunk("Hello"))
    error = {"error": {"message": f"out of memory for {KEY}"}}
    await answer.send(f"data: {json.dumps(error)}\n\n" + DONE)


async def _endless_event(asked: Asked, answer: Answer) -> None:
    await answer.begin()
    await answer.send(chunk("Hello"))
    for _ in range(5):
        await answer.send(b"x" * 2**20)


@pytest.mark.parametrize("script", [_dies, _garbage, _error_event, _endless_event])
async def test_a_stream_that_breaks_ends_with_an_error_and_a_row_that_says_so(
    api: Api,
    upstreams: Upstreams,
    rows: list[dict[str, Any]],
    script: Callable[..., Any],
) -> None:
    await upstreams.model(script)
    pieces = await read_stream(await api.chat(model="far", stream=True))
    first, error, done = events_of(pieces)
    assert first["choices"][0]["delta"]["content"] == "Hello"
    assert error["error"]["code"] == "upstream_failed"
    assert done == "[DONE]"
    assert KEY.encode() not in b"".join(pieces)
    [row] = rows
    assert row["status"] == 502
    assert not row["completed"]
    assert row["completion_tokens"] >= 1


async def test_an_upstream_that_never_answers_is_given_up(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    async def silent(asked: Asked, answer: Answer) -> None:
        await answer.left()

    await upstreams.model(silent, read_timeout_s=1)
    response = await api.chat(model="far", stream=True)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "upstream_timeout"
    assert rows[0]["status"] == 504


async def test_an_upstream_that_nobody_runs_is_said_to_be_unreachable(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat, base_url="http://127.0.0.1:1/v1")
    response = await api.chat(model="far")
    assert response.status_code == 502
    assert "cannot be reached" in response.json()["error"]["message"]


async def test_a_client_that_leaves_closes_the_upstreams_request(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    async def endless(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        while True:
            await answer.send(chunk("Hello"))
            await asyncio.sleep(0.01)

    _, server = await upstreams.model(endless)
    response = await api.chat(model="far", stream=True)
    events = response.streaming_content
    await anext(events)
    await events.aclose()
    await asyncio.wait_for(server.was_left.wait(), 60)
    assert rows[0]["status"] == 499


async def test_an_administrator_can_cancel_a_request_at_an_upstream(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    async def silent(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        await answer.send(chunk("Hello"))
        await answer.left()

    await upstreams.model(silent)
    response = await api.chat(model="far", stream=True)
    pieces = aiter(response)
    await anext(pieces)
    [running] = running_requests.states().requests
    assert running.model == "far"
    assert running.node == "upstream server of far"
    assert await running_requests.cancel(running.id, "root")
    last = b"".join([piece async for piece in pieces])
    assert b"request_cancelled" in last
    # The upstream has counted nothing yet.
    assert rows[0]["completion_tokens"] > 0
    assert rows[0]["is_estimated"]


async def test_after_failures_in_a_row_no_request_is_sent_for_a_while(
    api: Api, upstreams: Upstreams, configure: Callable[..., None]
) -> None:
    async def fails(asked: Asked, answer: Answer) -> None:
        await answer.whole({}, 500)

    configure(upstreams__failures=2, upstreams__pause=600)
    model, server = await upstreams.model(fails)
    statuses = [(await api.chat(model="far")).status_code for _ in range(4)]
    assert statuses == [502, 502, 503, 503]
    assert len(server.posts) == 2
    # Whoever looks at the upstream sees that.
    await links().aclose()
    row = await Upstream.objects.aget(pk=model.upstream_id)
    assert row.state == "paused"
    assert row.pause is not None
    left_s = (row.pause - timezone.now()).total_seconds()
    assert 0 < left_s <= 600


async def test_a_wrong_name_there_keeps_no_other_model_from_its_upstream(
    api: Api, upstreams: Upstreams, configure: Callable[..., None]
) -> None:
    async def knows_nothing(asked: Asked, answer: Answer) -> None:
        await answer.whole({}, 404)

    configure(upstreams__failures=2, upstreams__pause=600)
    _, server = await upstreams.model(knows_nothing)
    statuses = [(await api.chat(model="far")).status_code for _ in range(4)]
    assert statuses == [502] * 4
    assert len(server.posts) == 4


async def test_an_embedding_is_asked_for_again_where_its_connection_breaks(
    api: Api, upstreams: Upstreams
) -> None:
    answered = []

    async def breaks_once(asked: Asked, answer: Answer) -> None:
        answered.append(asked)
        if len(answered) == 2:
            vectors = [{"index": 0, "embedding": [0.5], "object": "embedding"}]
            usage = {"prompt_tokens": 3, "total_tokens": 3}
            await answer.whole({"data": vectors, "model": "far-away", "usage": usage})

    await upstreams.model(breaks_once)
    body = {"model": "far", "input": "text"}
    response = await api.post("/v1/embeddings", body)
    assert response.json()["data"][0]["embedding"] == [0.5]
    assert len(answered) == 2


async def test_a_chat_whose_connection_breaks_is_not_asked_for_again(
    api: Api, upstreams: Upstreams
) -> None:
    async def breaks(asked: Asked, answer: Answer) -> None:
        return

    _, server = await upstreams.model(breaks)
    response = await api.chat(model="far")
    assert response.status_code == 502
    assert len(server.posts) == 1


async def test_a_limit_counts_a_request_to_an_upstream_by_its_usage(
    api: Api, upstreams: Upstreams, key: tuple[ApiKey, str]
) -> None:
    await upstreams.model(chat)
    await sync_to_async(Limit.objects.create)(
        kind=LimitKind.TOKENS_DAY, amount=1300, key=key[0]
    )
    first, second = [await api.chat(model="far") for _ in range(2)]
    left = [int(each["x-ratelimit-remaining-tokens"]) for each in (first, second)]
    # What the first one had reserved is given back but for the 9 tokens of its usage.
    assert left[0] - left[1] == 9


async def test_an_idempotency_key_is_left_out_and_that_is_said(
    api: Api, upstreams: Upstreams
) -> None:
    await upstreams.model(chat)
    body = {"model": "far", "messages": [{"role": "user", "content": "Hi"}]}
    response = await api.post(
        "/v1/chat/completions", body, **{"Idempotency-Key": "once"}
    )
    assert response[HEADER] == "Idempotency-Key"


async def test_messages_are_streamed_as_anthropics_events(
    api: Api, upstreams: Upstreams, rows: list[dict[str, Any]]
) -> None:
    start = {"model": "far-away", "usage": {"input_tokens": 5, "output_tokens": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 3},
        },
        {"type": "message_stop"},
    ]

    async def messages(asked: Asked, answer: Answer) -> None:
        await answer.begin()
        for event in events:
            await answer.send(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")

    _, server = await upstreams.model(messages, dialect="anthropic")
    hi = [{"role": "user", "content": "Hi"}]
    body = {"model": "far", "max_tokens": 9, "messages": hi, "stream": True}
    response = await api.post("/v1/messages", body)
    text = b"".join(await read_stream(response)).decode()
    assert '"model": "far"' in text
    assert text.endswith('data: {"type": "message_stop"}\n\n')
    assert server.posts[0].headers["x-api-key"] == KEY
    assert server.posts[0].headers["anthropic-version"] == "2023-06-01"
    [row] = rows
    assert (row["prompt_tokens"], row["completion_tokens"]) == (5, 3)
    assert row["finish_reason"] == "end_turn"


async def test_responses_must_not_be_stored_where_an_upstream_answers(
    api: Api, upstreams: Upstreams
) -> None:
    async def respond(asked: Asked, answer: Answer) -> None:
        usage = {"input_tokens": 4, "output_tokens": 2, "total_tokens": 6}
        done = {"id": "resp_1", "status": "completed", "output": [], "usage": usage}
        await answer.whole({**done, "model": "far-away"})

    await upstreams.model(respond)
    stored = await api.post("/v1/responses", {"model": "far", "input": "Hi"})
    assert stored.status_code == 400
    assert stored.json()["error"]["param"] == "store"
    body = {"model": "far", "input": "Hi", "store": False}
    response = await api.post("/v1/responses", body)
    assert response.json()["model"] == "far"


@pytest.mark.parametrize("member", ["tools", "input"])
async def test_an_upstream_is_not_sent_mcp_servers_that_may_not_be_called(
    api: Api, upstreams: Upstreams, member: str
) -> None:
    _, server = await upstreams.model(chat)
    tool = {
        "type": "mcp",
        "server_label": "inside",
        "server_url": "http://10.0.0.9/mcp",
    }
    added = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    hi = {"role": "user", "content": "Hi"}
    given = {"tools": [tool]} if member == "tools" else {"input": [added, hi]}
    body = {"model": "far", "input": "Hi", "store": False, **given}
    response = await api.post("/v1/responses", body)
    assert response.status_code == 400
    assert "api.mcp_servers" in response.json()["error"]["message"]
    assert not server.posts
