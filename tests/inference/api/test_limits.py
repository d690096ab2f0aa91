"""Limits at the API: what requests take, what they give back, and the headers."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from accounts.limits.admission import states_of
from accounts.limits.limit_rows import rules_of
from accounts.models import Limit, LimitKind, Scope
from inference.errors import QueueFull
from tests.factories import make_api_key
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, events_of, read_stream

if TYPE_CHECKING:
    from accounts.models import ApiKey
    from registry.models import Model
    from tests.fakes import FakeEngineClient

#: Of which a minute refills too little to be seen in a test.
MANY = 60_000


@pytest.fixture
async def limited(model: Model, engine: FakeEngineClient) -> tuple[ApiKey, Api]:
    """A key with limits of tokens and of parallel requests."""
    key, secret = await sync_to_async(make_api_key)(
        scopes=[Scope.INFERENCE], rate_limit=0
    )
    for kind, amount in (
        (LimitKind.TOKENS_MONTH, MANY),
        (LimitKind.PARALLEL, 2),
        (LimitKind.MONEY_MONTH, 10),
    ):
        await Limit.objects.acreate(key=key, kind=kind, amount=amount)
    return key, Api(secret)


async def left(key: ApiKey) -> dict[str, int]:
    """Return what each limit of a key has left."""
    rules = await sync_to_async(rules_of)(key, None)
    states = (await sync_to_async(states_of)(rules)).states
    return {state.counter.rule.kind.value: state.left for state in states}


async def test_an_answer_is_settled_by_the_engines_count(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient, model: Model
) -> None:
    key, api = limited
    model.input_price, model.output_price = Decimal(1000), Decimal(4000)
    model.cached_price = Decimal(0)
    await model.asave()
    engine.enqueue(begun(20), [finished(prompt=20, completion=7, cached=5)])

    response = await api.chat(max_tokens=500)

    assert response.status_code == 200
    # What was reserved: the prompt's estimate and 500.
    reserved = MANY - int(response["x-ratelimit-remaining-tokens"])
    assert 500 < reserved < 540
    assert response["x-ratelimit-limit-tokens"] == str(MANY)
    # 15 tokens at a thousandth of a cent each, 7 at four.
    cost = 15 * 1_000_000 + 7 * 4_000_000
    assert await left(key) == {
        "tokens_month": MANY - 27,
        "parallel": 2,
        "money_month": 10_000_000_000 - cost,
    }


async def test_a_stream_is_settled_before_its_client_sees_the_end(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient
) -> None:
    key, api = limited
    engine.enqueue(begun(), [tokens("a"), finished(prompt=5, completion=1)])
    response = await api.chat(stream=True)
    assert int(response["x-ratelimit-remaining-tokens"]) < MANY
    seen: list[dict[str, int]] = []

    async for piece in response:
        if b"[DONE]" in piece:
            seen.append(await left(key))

    assert seen == [
        {"tokens_month": MANY - 6, "parallel": 2, "money_month": 10_000_000_000}
    ]


async def test_an_abandoned_stream_pays_for_what_it_has_got(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient
) -> None:
    key, api = limited
    engine.enqueue(begun(9), [tokens("a", 3)])
    response = await api.chat(stream=True)
    has_text = asyncio.Event()
    reader = asyncio.create_task(_read_until(response, has_text))
    async with asyncio.timeout(10):
        await has_text.wait()
    assert (await left(key))["parallel"] == 1

    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader

    assert (await left(key))["tokens_month"] == MANY - 12
    assert (await left(key))["parallel"] == 2


async def _read_until(response: Any, has_text: asyncio.Event) -> None:
    async for piece in response:
        if b'"a"' in piece:
            has_text.set()


async def test_a_request_whose_client_leaves_pays_for_what_was_computed(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient
) -> None:
    key, api = limited
    engine.enqueue(begun(9), [tokens("a", 3)])
    request = asyncio.create_task(api.chat())
    async with asyncio.timeout(10):
        while not (engine.streams and not engine.streams[0].script):
            await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)

    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    async with asyncio.timeout(10):
        while (await left(key))["parallel"] != 2:
            await asyncio.sleep(0)
    assert (await left(key))["tokens_month"] == MANY - 12


async def test_a_failed_request_pays_nothing(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient
) -> None:
    key, api = limited
    engine.refuse(QueueFull("The queue is full."))

    response = await api.chat()

    assert response.status_code == 503
    assert int(response["x-ratelimit-remaining-tokens"]) < MANY
    assert (await left(key))["tokens_month"] == MANY
    assert (await left(key))["parallel"] == 2


async def test_more_requests_at_once_than_allowed_are_429(
    limited: tuple[ApiKey, Api], engine: FakeEngineClient
) -> None:
    _, api = limited
    for _ in range(2):
        engine.enqueue(begun())
    running = [asyncio.create_task(api.chat()) for _ in range(2)]
    async with asyncio.timeout(10):
        while len(engine.streams) < 2:
            await asyncio.sleep(0)

    refused = await api.chat()
    for stream in engine.streams:
        stream.play([finished()])
    answers = await asyncio.gather(*running)
    after = await api.chat()

    assert refused.status_code == 429
    assert refused["retry-after"] == "1"
    assert "2 requests at once" in refused.json()["error"]["message"]
    assert [answer.status_code for answer in (*answers, after)] == [200] * 3


async def test_a_spent_budget_is_insufficient_quota_and_not_to_be_retried(
    model: Model, engine: FakeEngineClient
) -> None:
    key, secret = await sync_to_async(make_api_key)(rate_limit=0)
    await Limit.objects.acreate(key=key, kind=LimitKind.TOKENS_DAY, amount=5)

    response = await Api(secret).chat(max_tokens=50)

    error = response.json()["error"]
    assert response.status_code == 429
    assert (error["code"], error["type"]) == ("insufficient_quota",) * 2
    assert response["x-should-retry"] == "false"
    assert 1 <= int(response["retry-after"]) <= 86_400
    assert response["x-ratelimit-remaining-tokens"] == "5"
    assert "resets at" in error["message"]
    assert engine.requests == []


async def test_a_request_that_is_refused_for_its_body_counts_and_says_what_is_left(
    model: Model, engine: FakeEngineClient
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=3)
    api = Api(secret)

    bad = await api.post("/v1/chat/completions", b"{")
    unknown = await api.chat(model="nothing")
    good = await api.chat()
    refused = await api.post("/v1/chat/completions", b"{")

    assert [each.status_code for each in (bad, unknown, good, refused)] == [
        *(400, 404, 200, 429)
    ]
    remaining = [
        each["x-ratelimit-remaining-requests"] for each in (bad, unknown, good, refused)
    ]
    assert remaining == ["2", "1", "0", "0"]


async def test_to_tokenize_costs_no_tokens(
    model: Model, engine: FakeEngineClient
) -> None:
    key, secret = await sync_to_async(make_api_key)(rate_limit=0)
    await Limit.objects.acreate(key=key, kind=LimitKind.TOKENS_DAY, amount=10)

    message = {"role": "user", "content": "one two three " * 20}
    response = await Api(secret).post(
        "/apply-template", {"model": "tiny", "messages": [message]}
    )

    assert response.status_code == 200
    assert (await left(key))["tokens_day"] == 10


async def test_streams_have_the_headers_of_their_start(
    model: Model, engine: FakeEngineClient
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=60)

    response = await Api(secret).chat(stream=True)
    payloads: list[Any] = events_of(await read_stream(response))

    assert payloads[-1] == "[DONE]"
    assert response["x-ratelimit-limit-requests"] == "60"
    assert response["x-ratelimit-remaining-requests"] == "59"
    assert response["x-ratelimit-reset-requests"] == "1s"
