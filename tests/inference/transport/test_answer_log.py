"""The log of an answer: who may write it, and what a repeated request finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference.api.idempotency import LoggingClient
from inference.engine import SamplingParams
from inference.engine.output import SequenceOutput
from inference.engine.request import GenerationRequest
from inference.transport import answer_log
from inference.transport.answer_log import (
    AnswerInProgress,
    AnswerLog,
    AnswerOfOther,
    AnswerTooLong,
)
from inference.transport.stream import new_request_id
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from inference.transport.stream import Stream
    from tests.inference.world import Gate, World

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "0123456789" * 5


@pytest.fixture(autouse=True)
async def _quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(answer_log, "_WAIT_S", 0.1)
    monkeypatch.setattr("inference.api.idempotency._SAVE_EVERY_S", 0.02)
    yield
    await channel_layers["queue"].flush()


async def opened(digest: str = "d", sequences: int = 1) -> AnswerLog:
    return await AnswerLog.open(
        channel_layers["queue"], "name", digest=digest, sequences=sequences
    )


def output(text: str) -> SequenceOutput:
    return SequenceOutput("r", 1, 1, 0, tokens=(1,), text=text)


async def test_what_was_saved_is_there_for_the_next_writer() -> None:
    log = await opened(sequences=2)
    assert log.so_far == [[], []]
    log.put(0, [output("a")])
    log.put(1, [output("b")])
    await log.save()
    log.put(1, [output("c")])
    await log.save()
    await log.close()
    assert (await opened(sequences=2)).so_far == [
        [output("a")],
        [output("b"), output("c")],
    ]


class DeafLayer:
    """A channel layer whose connection breaks after the next script has run."""

    def __init__(self, layer: Any) -> None:
        self.prefix = layer.prefix
        self.breaks = False
        self._redis = layer.connection(0)

    def connection(self, _index: int) -> Any:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def eval(self, *arguments: Any) -> Any:
        result = await self._redis.eval(*arguments)
        if self.breaks:
            self.breaks = False
            raise ConnectionError
        return result


async def test_what_was_saved_unheard_is_there_once() -> None:
    layer = DeafLayer(channel_layers["queue"])
    log = await AnswerLog.open(layer, "name", digest="d", sequences=2)
    log.put(0, [output("a")])
    await log.save()
    layer.breaks = True
    log.put(0, [output("b")])
    log.put(1, [output("x")])
    with pytest.raises(ConnectionError):
        await log.save()
    log.put(0, [output("c")])
    await log.save()
    await log.close()
    assert (await opened(sequences=2)).so_far == [
        [output("a"), output("b"), output("c")],
        [output("x")],
    ]


async def test_two_requests_do_not_write_one_answer() -> None:
    await opened()
    with pytest.raises(AnswerInProgress):
        await opened()


async def test_a_writer_that_has_died_is_followed_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_log, "_LOCK_S", 1)
    monkeypatch.setattr(answer_log, "_WAIT_S", WAIT_S)
    dead = await opened()
    dead.put(0, [output("a")])
    await dead.save()
    alive = await opened()
    assert alive.so_far == [[output("a")]]
    # The first one was only frozen: it writes nothing any more, and takes no lock.
    dead.put(0, [output("x")])
    await dead.save()
    await dead.close()
    alive.put(0, [output("b")])
    await alive.save()
    await alive.close()
    assert (await opened()).so_far == [[output("a"), output("b")]]


async def test_another_body_is_another_request() -> None:
    await (await opened("first")).close()
    with pytest.raises(AnswerOfOther):
        await opened("second")
    # The refusal holds no lock.
    await opened("first")


async def test_an_answer_that_is_too_long_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answer_log, "MAX_BYTES", 1000)
    log = await opened()
    log.put(0, [output("a")])
    await log.save()
    log.put(0, [output("x" * 1000)])
    await log.save()
    await log.close()
    with pytest.raises(AnswerTooLong):
        await opened()


async def submit(world: World, log: AnswerLog) -> Stream:
    request = GenerationRequest(
        new_request_id(),
        [],
        prompt="go",
        key="k",
        owner="o",
        add_special_tokens=False,
        params=SamplingParams(max_tokens=len(TEXT)),
    )
    client = LoggingClient(world.client, log, before_save=lambda: None)
    return await client.submit(request, world.queue())  # type: ignore[return-value]


async def test_a_repeated_request_goes_on_from_where_the_answer_was(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", TEXT)
    world.start_worker(backend)
    stream = await submit(world, await opened())
    gate.allow(7)
    text = ""
    while len(text) < 7:
        text += text_of(await stream.events(WAIT_S))
    # As when its client has gone.
    await stream.aclose()
    gate.open()
    log = await opened()
    assert text_of(log.so_far[0]) == text
    plans = len(backend.plans)
    again = await submit(world, log)
    assert text_of(await collect(again)) == TEXT
    computed = "".join(
        chr(token)
        for plan in backend.plans[plans:]
        for item in plan.items
        for token in item.tokens
    )
    # What was there is read again, not written again.
    assert computed.count(TEXT) <= 1


async def test_a_finished_answer_comes_again_without_a_worker(world: World) -> None:
    backend = FakeBackend(n_ctx=4096)
    backend.script("go", TEXT)
    world.start_worker(backend)
    assert text_of(await collect(await submit(world, await opened()))) == TEXT
    await world.kill_workers()
    assert text_of(await collect(await submit(world, await opened()))) == TEXT
    await until(lambda: len(world.client._streams) == 0)
