"""The sequences of one request, read as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from inference.api.streaming import generation as generations
from inference.api.streaming.generation import Generation
from inference.engine.request import GenerationRequest
from inference.engine.sampling.params import SamplingParams
from inference.errors import AnswerNotRead, QueueFull
from inference.transport.queue import ModelQueue
from tests.fakes import FakeEngineClient, accepted, begun, finished, started, tokens

if TYPE_CHECKING:
    from inference.transport.messages.events import Event
    from tests.fakes import Step

REQUEST = GenerationRequest("a", [], SamplingParams(), prompt="Hi")
QUEUE = ModelQueue(1, "tiny", timeout_s=9)


async def start(engine: FakeEngineClient, count: int) -> Generation:
    """Return a generation of ``count`` sequences."""
    generation = Generation()
    await generation.start(engine, [REQUEST] * count, QUEUE)
    return generation


@pytest.mark.parametrize("count", [1, 3])
async def test_all_events_come_once_and_then_it_is_done(count: int) -> None:
    engine = FakeEngineClient()
    generation = await start(engine, count)

    assert await generation.started(1.0)
    read: dict[int, list[Event]] = {index: [] for index in range(count)}
    while not generation.is_done:
        for index, event in await generation.events():
            read[index].append(event)
    await generation.aclose()

    hello = [*begun(), tokens("Hello"), tokens(" world"), finished()]
    assert read == dict.fromkeys(range(count), hello)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_wait_may_end_without_an_event(count: int) -> None:
    engine = FakeEngineClient()
    for _ in range(count):
        engine.enqueue()
    generation = await start(engine, count)

    assert not await generation.started(0.01)
    assert await generation.events(0.01) == []
    engine.streams[0].play([accepted()])
    assert await generation.events(1.0) == [(0, accepted())]
    await generation.aclose()


async def test_a_sequence_that_waits_in_a_worker_has_not_begun() -> None:
    engine = FakeEngineClient()
    engine.enqueue([accepted()], 0.02, QueueFull("full"))
    generation = await start(engine, 1)

    assert not await generation.started(0.01)
    with pytest.raises(QueueFull):
        await generation.started(1.0)
    await generation.aclose()


async def test_waiting_for_the_start_loses_no_event() -> None:
    engine = FakeEngineClient()
    engine.enqueue([*begun(), tokens("a")])
    engine.enqueue()
    generation = await start(engine, 2)

    assert not await generation.started(0.05)
    early = [(0, accepted()), (0, started()), (0, tokens("a"))]
    assert await generation.events() == early
    await generation.aclose()


@pytest.mark.parametrize("count", [1, 2])
async def test_what_one_sequence_fails_with_is_raised(count: int) -> None:
    engine = FakeEngineClient()
    for _ in range(count - 1):
        engine.enqueue(begun())
    engine.enqueue(0.02, QueueFull("full"))
    generation = await start(engine, count)

    with pytest.raises(QueueFull):
        await generation.started(1.0)
    await generation.aclose()

    assert all(stream.is_closed for stream in engine.streams)


async def test_a_job_that_is_refused_leaves_the_others_to_be_closed() -> None:
    engine = FakeEngineClient()
    engine.refuse(QueueFull("full"), after=2)
    generation = Generation()

    with pytest.raises(QueueFull):
        await generation.start(engine, [REQUEST] * 3, QUEUE)
    await generation.aclose()
    await generation.aclose()

    assert [stream.is_closed for stream in engine.streams] == [True, True]


@pytest.mark.parametrize("count", [1, 2])
async def test_a_sequence_that_is_given_up_is_not_waited_for(count: int) -> None:
    engine = FakeEngineClient()
    engine.enqueue(begun())
    engine.enqueue(begun(), [finished()])
    generation = await start(engine, count)

    await generation.give_up(0)
    while not generation.is_done:
        await generation.events()
    await generation.aclose()

    assert engine.streams[0].is_closed


async def test_closing_ends_every_task() -> None:
    engine = FakeEngineClient()
    before = asyncio.all_tasks()
    for _ in range(3):
        engine.enqueue()
    generation = await start(engine, 3)

    await generation.aclose()
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


async def test_an_answer_that_nobody_reads_ends_in_all_its_sequences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generations, "MAX_UNREAD_BYTES", 100_000)
    engine = FakeEngineClient()
    engine.enqueue(*([tokens("x")] for _ in range(1000)))
    engine.enqueue()
    generation = await start(engine, 2)
    async with asyncio.timeout(60):
        while not engine.streams[1].is_closed:
            await asyncio.sleep(0)

    with pytest.raises(AnswerNotRead):
        await generation.events()
    await generation.aclose()
    assert engine.streams[0].is_closed


async def test_an_answer_that_is_read_may_be_as_long_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(generations, "MAX_UNREAD_BYTES", 100_000)
    engine = FakeEngineClient()
    for _ in range(2):
        script: list[Step] = []
        for _ in range(1000):
            script += [[tokens("x")], 0]
        engine.enqueue(*script, [finished()])
    generation = await start(engine, 2)

    count = 0
    while not generation.is_done:
        count += len(await generation.events())
    assert count == 2002
