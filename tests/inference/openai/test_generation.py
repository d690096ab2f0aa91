"""The sequences of one request, read as one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from inference.client import Job
from inference.engine.sampling_params import SamplingParams
from inference.errors import QueueFull
from inference.openai.generation import Generation
from tests.fakes import FakeEngineClient, accepted, finished, tokens

if TYPE_CHECKING:
    from inference.protocol import Event

JOB = Job(
    1, "tiny", "Hi", SamplingParams(), special=True, tenant="", key="", timeout_s=9
)


async def started(engine: FakeEngineClient, count: int) -> Generation:
    """Return a generation of so many sequences."""
    generation = Generation()
    await generation.start(engine, [JOB] * count)
    return generation


@pytest.mark.parametrize("count", [1, 3])
async def test_all_events_come_once_and_then_it_is_done(count: int) -> None:
    engine = FakeEngineClient()
    generation = await started(engine, count)

    assert await generation.accepted(1.0)
    read: dict[int, list[Event]] = {index: [] for index in range(count)}
    while not generation.is_done:
        for index, event in await generation.events():
            read[index].append(event)
    await generation.aclose()

    hello = [accepted(), tokens("Hello"), tokens(" world"), finished()]
    assert read == dict.fromkeys(range(count), hello)


@pytest.mark.parametrize("count", [1, 2])
async def test_a_wait_may_end_without_an_event(count: int) -> None:
    engine = FakeEngineClient()
    for _ in range(count):
        engine.enqueue()
    generation = await started(engine, count)

    assert not await generation.accepted(0.01)
    assert await generation.events(0.01) == []
    engine.streams[0].play([accepted()])
    assert await generation.events(1.0) == [(0, accepted())]
    await generation.aclose()


async def test_waiting_for_the_start_loses_no_event() -> None:
    engine = FakeEngineClient()
    engine.enqueue([accepted(), tokens("a")])
    engine.enqueue()
    generation = await started(engine, 2)

    assert not await generation.accepted(0.05)
    assert await generation.events() == [(0, accepted()), (0, tokens("a"))]
    await generation.aclose()


@pytest.mark.parametrize("count", [1, 2])
async def test_what_one_sequence_fails_with_is_raised(count: int) -> None:
    engine = FakeEngineClient()
    for _ in range(count - 1):
        engine.enqueue([accepted()])
    engine.enqueue(0.02, QueueFull("full"))
    generation = await started(engine, count)

    with pytest.raises(QueueFull):
        await generation.accepted(1.0)
    await generation.aclose()

    assert all(stream.is_closed for stream in engine.streams)


async def test_a_job_that_is_refused_leaves_the_others_to_be_closed() -> None:
    engine = FakeEngineClient()
    engine.refuse(QueueFull("full"), after=2)
    generation = Generation()

    with pytest.raises(QueueFull):
        await generation.start(engine, [JOB] * 3)
    await generation.aclose()
    await generation.aclose()

    assert [stream.is_closed for stream in engine.streams] == [True, True]


async def test_closing_ends_every_task() -> None:
    engine = FakeEngineClient()
    before = asyncio.all_tasks()
    for _ in range(3):
        engine.enqueue()
    generation = await started(engine, 3)

    await generation.aclose()
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before
