"""What an administrator's order does to the requests of a model."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from inference.errors import ModelDeleted, ModelDisabled, ModelUnloaded
from inference.serving import ServingStatus
from inference.stops import Stop
from inference.worker.node_pipe import Drain, drain_from_line, drain_to_line
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, Gate, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from inference.transport.stream import Stream
    from inference.worker.queue.server import QueueServer
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "0123456789" * 4
UNLOADED = "The model 'fake' was unloaded by the administrator alice"


def scripted(backend: FakeBackend) -> FakeBackend:
    for letter in "ab":
        backend.script(letter, TEXT)
    return backend


def unloading(*, is_now: bool) -> Drain:
    return Drain(is_now=is_now, code="model_unloaded", message=UNLOADED)


def stopped(error: type[ModelUnloaded | ModelDeleted | ModelDisabled]) -> ServingStatus:
    return ServingStatus(stop=Stop(math.inf, error, UNLOADED))


async def one_runs_and_one_waits(
    world: World, gate: Gate
) -> tuple[QueueServer, Stream, Stream]:
    """Return a worker, the stream that has its one slot, and a waiting one."""
    worker = world.start_worker(scripted(GatedBackend(gate, n_seq_max=1)))
    running = await world.submit("a")
    gate.allow(9)
    await until(lambda: running.is_started)
    waiting = await world.submit("b")
    await until(lambda: bool(waiting.worker))
    return worker, running, waiting


async def test_unloading_now_ends_every_request_with_the_one_who_did_it(
    world: World, gate: Gate
) -> None:
    worker, running, waiting = await one_runs_and_one_waits(world, gate)
    worker.drain(unloading(is_now=True))
    gate.open()
    for stream in (running, waiting):
        with pytest.raises(ModelUnloaded, match="by the administrator alice"):
            await collect(stream)
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0


async def test_unloading_after_running_requests_finishes_those_and_ends_the_waiting(
    world: World, gate: Gate
) -> None:
    worker, running, waiting = await one_runs_and_one_waits(world, gate)
    worker.drain(unloading(is_now=False))
    with pytest.raises(ModelUnloaded):
        await collect(waiting)
    gate.open()
    assert text_of(await collect(running)) == TEXT
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0


async def test_what_was_to_finish_can_still_be_ended(world: World, gate: Gate) -> None:
    worker, running, _ = await one_runs_and_one_waits(world, gate)
    worker.drain(unloading(is_now=False))
    worker.drain(unloading(is_now=True))
    gate.open()
    with pytest.raises(ModelUnloaded):
        await collect(running)


async def test_reloading_now_continues_running_requests_in_the_new_worker(
    world: World, gate: Gate
) -> None:
    worker, running, waiting = await one_runs_and_one_waits(world, gate)
    seen = await running.events(WAIT_S)
    worker.drain(Drain(is_now=True))
    gate.open()
    world.start_worker(scripted(FakeBackend(n_ctx=4096)), "life-2")
    assert text_of(seen + await collect(running)) == TEXT
    assert text_of(await collect(waiting)) == TEXT


@pytest.mark.parametrize("error", [ModelUnloaded, ModelDisabled, ModelDeleted])
async def test_a_stream_that_lost_its_worker_does_not_load_a_stopped_model_again(
    world: World, gate: Gate, error: type[ModelUnloaded | ModelDisabled | ModelDeleted]
) -> None:
    _, running, _ = await one_runs_and_one_waits(world, gate)
    await world.kill_workers()
    world.status = stopped(error)
    asked = world.num_ensured
    with pytest.raises(error, match="by the administrator alice"):
        await collect(running)
    assert world.num_ensured == asked


async def test_a_request_that_came_after_the_order_is_served(world: World) -> None:
    stop = Stop(time.time(), ModelUnloaded, UNLOADED)
    stream = await world.submit("a")
    world.start_worker(scripted(FakeBackend()))
    world.status = replace(world.status, stop=stop)
    assert text_of(await collect(stream)) == TEXT


def test_a_drain_survives_the_pipe_and_other_lines_are_none() -> None:
    command = unloading(is_now=True)
    assert drain_from_line(drain_to_line(command)) == command
    for line in ("drain", "{}", "[]", '{"drain": 1}', '{"drain": {"x": 1}}'):
        assert drain_from_line(line) is None
