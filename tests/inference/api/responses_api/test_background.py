"""Responses in the background: polled, streamed again, cancelled, rescued."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from django.db import OperationalError
from django.utils import timezone

from accounts.limits.demand import Tokens
from accounts.models import ApiKey, Scope, StoredResponse
from accounts.usage.recorder import usage_recorder
from inference.api.accounting.charge import Charge
from inference.api.responses_api.background_view import (
    BackgroundView,
    InheritedCharge,
    background_writer,
)
from inference.api.responses_api.store import background
from llm_manager.lib.threads import in_thread
from tests.factories import make_api_key, make_route
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import Api, read_stream
from tests.inference.api.responses_api.helpers import create, events_of, types_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from registry.models import Model
    from tests.fakes import FakeEngineClient


@pytest.fixture(autouse=True)
async def _store(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    configure(api__store=True)
    monkeypatch.setattr(background, "_RESCUE_EVERY_S", 0.1)
    monkeypatch.setattr(background, "_FLUSH_EVERY_S", 0.0)
    yield
    await channel_layers["queue"].flush()


async def polled(api: Api, id_: str) -> Any:
    """Return a response when it has ended."""
    async with asyncio.timeout(20):
        while True:
            response = (await api.get(f"/v1/responses/{id_}")).json()
            if response["status"] not in ("queued", "in_progress"):
                return response
            await asyncio.sleep(0.05)


async def followed(api: Api, id_: str, after: str = "") -> list[Any]:
    """Return the events of a response."""
    answer = await api.get(f"/v1/responses/{id_}?stream=true{after}")
    return events_of(b"".join(await read_stream(answer)).decode())


async def test_a_response_in_the_background_is_polled(api: Api) -> None:
    queued = await create(api, background=True)
    done = await polled(api, queued["id"])

    assert queued["status"] == "queued"
    assert queued["output"] == []
    assert done["status"] == "completed"
    assert done["output"][0]["content"][0]["text"] == "Hello world"
    assert done["created_at"] == queued["created_at"]


async def test_a_key_of_a_route_uses_its_model_in_the_background_too(
    model: Model, engine: FakeEngineClient
) -> None:
    route = await sync_to_async(make_route)("best", (model, 1))
    _, secret = await sync_to_async(make_api_key)(
        models=[route], scopes=[Scope.INFERENCE], rate_limit=0
    )
    api = Api(secret)
    queued = await create(api, model="best", background=True)
    done = await polled(api, queued["id"])
    assert done["status"] == "completed", done["error"]

    again = await api.post("/v1/responses", {"model": "tiny", "input": "Hi"})
    assert again.status_code == 403


async def test_its_events_are_streamed_and_streamed_again(api: Api) -> None:
    answer = await api.post(
        "/v1/responses",
        {"model": "tiny", "input": "Hi", "background": True, "stream": True},
    )
    events = events_of(b"".join(await read_stream(answer)).decode())
    id_ = events[-1]["response"]["id"]

    assert types_of(events)[0] == "created"
    assert types_of(events)[-1] == "completed"
    assert await followed(api, id_) == events
    assert await followed(api, id_, "&starting_after=3") == events[4:]


async def test_a_response_that_is_cancelled_leaves_the_engine(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hel")])
    queued = await create(api, background=True)
    async with asyncio.timeout(20):
        while not engine.streams:
            await asyncio.sleep(0.02)

    cancelled = await api.post(f"/v1/responses/{queued['id']}/cancel")

    assert cancelled.json()["status"] == "cancelled"
    assert (await polled(api, queued["id"]))["status"] == "cancelled"
    async with asyncio.timeout(20):
        while not engine.streams[0].is_closed:
            await asyncio.sleep(0.02)
    again = await api.post(f"/v1/responses/{queued['id']}/cancel")
    assert again.json()["status"] == "cancelled"


async def test_only_a_response_in_the_background_is_cancelled(api: Api) -> None:
    response = await create(api)

    answer = await api.post(f"/v1/responses/{response['id']}/cancel")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "response_not_in_background"


async def test_a_failure_ends_the_response(api: Api, engine: FakeEngineClient) -> None:
    engine.enqueue(begun(), [tokens("Hel")], RuntimeError("a test"))

    queued = await create(api, background=True)
    failed = await polled(api, queued["id"])

    assert failed["status"] == "failed"
    assert failed["error"]["code"] == "server_error"


async def test_another_process_goes_on_where_the_first_one_died(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue([*begun(), tokens("Hel"), tokens("lo")])
    queued = await create(api, background=True)
    id_ = queued["id"]
    answer = await api.get(f"/v1/responses/{id_}?stream=true")
    seen = b""
    async with asyncio.timeout(20):
        async for piece in aiter(answer):
            seen += piece
            if b'"lo"' in seen:
                break

    # The process dies: its task ends, and nobody renews the claim.
    for task in list(background_writer._tasks.values()):
        task.cancel()
    async with asyncio.timeout(20):
        while background_writer._tasks:
            await asyncio.sleep(0.02)
    row = await StoredResponse.objects.aget(pk=id_)
    assert row.status == "in_progress"
    # A stream begins with what is known of its answer.
    engine.enqueue(
        [*begun(), tokens("Hel"), tokens("lo"), tokens(" world")],
        [finished(completion=3)],
    )
    second = background.BackgroundWriter(BackgroundView)
    rescuing = asyncio.create_task(second.rescue_forever())
    done = await polled(api, id_)
    rescuing.cancel()

    assert done["output"][0]["content"][0]["text"] == "Hello world"
    whole = await followed(api, id_)
    first = events_of(seen.decode())
    assert whole[: len(first)] == first
    assert types_of(whole)[-1] == "completed"
    known = [getattr(event, "text", "") for event in engine.so_far[-1]]
    assert "".join(known) == "Hello"


async def test_an_answer_whose_beginning_is_lost_begins_again(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue([*begun(), tokens("Hel")])
    queued = await create(api, background=True)
    answer = await api.get(f"/v1/responses/{queued['id']}?stream=true")
    seen = b""
    async with asyncio.timeout(20):
        async for piece in aiter(answer):
            seen += piece
            if b'"Hel"' in seen:
                break
    for task in list(background_writer._tasks.values()):
        task.cancel()
    async with asyncio.timeout(20):
        while background_writer._tasks:
            await asyncio.sleep(0.02)
    await channel_layers["queue"].flush()

    rescuing = asyncio.create_task(
        background.BackgroundWriter(BackgroundView).rescue_forever()
    )
    done = await polled(api, queued["id"])
    rescuing.cancel()

    assert done["output"][0]["content"][0]["text"] == "Hello world"
    whole = await followed(api, queued["id"])
    assert types_of(whole).count("created") == 2
    assert types_of(whole)[-1] == "completed"


async def test_a_claim_that_is_renewed_is_nobody_elses(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [tokens("Hel")])
    queued = await create(api, background=True)
    async with asyncio.timeout(20):
        while not engine.streams:
            await asyncio.sleep(0.02)

    row = await StoredResponse.objects.aget(pk=queued["id"])
    assert row.claimed_until is not None
    assert row.claimed_until > timezone.now() - timedelta(seconds=1)
    await api.post(f"/v1/responses/{queued['id']}/cancel")


async def test_a_response_is_its_processs_own_from_its_first_moment(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun_here: list[str] = []
    monkeypatch.setattr(
        background_writer, "start", lambda id_, _: begun_here.append(id_)
    )

    queued = await create(api, background=True)

    assert begun_here == [queued["id"]]
    assert await in_thread(background._abandoned) == []
    assert await in_thread(background._claim, queued["id"], "another") is None
    claimed = await in_thread(background._claim, queued["id"], background_writer._name)
    assert claimed is not None


async def test_what_was_tried_last_is_rescued_last(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_writer, "start", lambda *_: None)
    ids = [(await create(api, background=True))["id"] for _ in range(3)]
    for id_ in (ids[1], ids[2], ids[0]):
        row = await StoredResponse.objects.aget(pk=id_)
        await in_thread(background._release, id_, row.claimed_by)

    assert await in_thread(background._abandoned) == [ids[1], ids[2], ids[0]]


async def test_a_conversation_goes_on_without_an_input_of_its_own(
    api: Api, engine: FakeEngineClient
) -> None:
    item = {"type": "message", "role": "user", "content": "Who are you?"}
    made = await api.post("/v1/conversations", {"items": [item]})

    queued = await create(
        api,
        background=True,
        instructions="Be brief.",
        input=[],
        conversation=made.json()["id"],
    )

    assert (await polled(api, queued["id"]))["status"] == "completed"
    assert "Who are you?" in engine.requests[-1].prompt


async def test_a_rescue_that_a_limit_refuses_waits_and_has_no_row(
    model: Model, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, secret = await sync_to_async(make_api_key)(rate_limit=1)
    rows: list[Any] = []
    monkeypatch.setattr(usage_recorder, "end", lambda _, fields: rows.append(fields))
    monkeypatch.setattr(background_writer, "start", lambda *_: None)
    queued = await create(Api(secret), background=True)
    await in_thread(background._release, queued["id"], background_writer._name)
    assert await in_thread(background._abandoned) == [queued["id"]]

    await background.BackgroundWriter(BackgroundView)._write(queued["id"])

    row = await StoredResponse.objects.aget(pk=queued["id"])
    assert row.status == "in_progress"
    assert await in_thread(background._abandoned) == []
    assert rows == []
    assert engine.requests == []


async def test_a_key_that_lost_its_scope_writes_no_more(
    api: Api,
    key: tuple[ApiKey, str],
    engine: FakeEngineClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_writer, "start", lambda *_: None)
    queued = await create(api, background=True)
    await ApiKey.objects.filter(pk=key[0].pk).aupdate(scopes=[Scope.MODELS])

    await background_writer._write(queued["id"])

    row = await StoredResponse.objects.aget(pk=queued["id"])
    assert row.status == "failed"
    assert engine.requests == []


class Inherited:
    """What the request of the client has taken."""

    def __init__(self) -> None:
        self.was_given_back = False

    def to(self, view: Any) -> None:
        raise AssertionError("Nobody writes here.")

    def give_back(self) -> None:
        self.was_given_back = True


async def test_a_database_that_fails_at_the_claim_costs_no_limit(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(background_writer, "start", lambda *_: None)
        queued = await create(api, background=True)
        inherited = Inherited()

        def fail(*_: Any) -> None:
            raise OperationalError("away")

        patch.setattr(background, "_claim", fail)
        await background_writer._write(queued["id"], inherited)
        assert inherited.was_given_back

    # The next one who looks writes it.
    await background_writer._write(queued["id"])
    assert (await polled(api, queued["id"]))["status"] == "completed"


async def test_a_response_that_another_process_has_costs_no_limit_here(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_writer, "start", lambda *_: None)
    queued = await create(api, background=True)
    inherited = Inherited()
    another = background.BackgroundWriter(BackgroundView)

    await another._write(queued["id"], inherited)

    assert inherited.was_given_back


async def test_what_is_given_back_settles_with_nothing_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled: list[Tokens] = []
    charge = Charge()
    monkeypatch.setattr(charge, "settle_later", settled.append)
    InheritedCharge(charge).give_back()
    assert settled == [Tokens()]
