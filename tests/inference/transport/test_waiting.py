"""Requests that wait in workers: fairly, bounded, evened out, and never lost."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from channels.layers import channel_layers

from inference.engine.output import SequenceOutput
from inference.errors import QueueFull, QueueTimeout
from inference.transport import stream_watch
from inference.transport.messages.events import Accepted
from inference.transport.queue import depth, queue_name, take
from inference.worker.queue import receiver
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, Gate, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from inference.transport.stream import Stream
    from inference.worker.queue.server import QueueServer
    from tests.inference.world import World

_Backend = TypeVar("_Backend", bound=FakeBackend)

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers report, and tell each other how they are, more often."""
    monkeypatch.setattr("inference.worker.model_server._REPORT_EVERY_S", 0.05)
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 0.05)


def gated(gate: Gate, n_seq_max: int = 1) -> GatedBackend:
    """Return a model that answers every letter with a word."""
    return scripted(GatedBackend(gate, n_seq_max=n_seq_max))


def scripted(backend: _Backend) -> _Backend:
    for letter in "abcdefghij":
        backend.script(letter, letter * 9)
    return backend


def know_each_other(*workers: QueueServer) -> bool:
    return not any(worker._stealing.peers.is_alone for worker in workers)


async def start_one(world: World, gate: Gate) -> Stream:
    """Return a stream that has the worker's one slot."""
    stream = await world.submit("a", key="first")
    gate.allow(1)
    await until(lambda: stream.is_started)
    return stream


async def accept(world: World, letter: str, key: str = "k") -> Stream:
    """Return a stream that waits in a worker."""
    stream = await world.submit(letter, key=key)
    # The worker may say first that it has the request, and its place when it knows it.
    await until(lambda: stream.was_accepted)
    return stream


async def test_a_worker_takes_what_waits_and_says_at_which_place(
    world: World, gate: Gate
) -> None:
    world.start_worker(gated(gate))
    running = await start_one(world, gate)
    waiting = [await accept(world, letter) for letter in "bcd"]
    newcomer = await accept(world, "e", key="other")
    assert [stream.position for stream in waiting] == [0, 1, 2]
    assert newcomer.position == 1
    (event,) = await waiting[0].events(WAIT_S)
    assert isinstance(event, Accepted)
    assert not waiting[0].is_started
    gate.open()
    (started, *_) = await collect(waiting[0])
    assert isinstance(started, SequenceOutput)
    assert started.is_start
    for stream in [running, *waiting[1:], newcomer]:
        await collect(stream)


async def test_a_worker_reports_what_waits_by_key(world: World, gate: Gate) -> None:
    worker = world.start_worker(gated(gate))
    await start_one(world, gate)
    for letter in "bcd":
        await accept(world, letter)
    before = time.time()
    await accept(world, "e", key="other")
    await until(lambda: len(world.reports["life-1"].waiting_by_key) == 2)
    longest, newest = world.reports["life-1"].waiting_by_key
    assert (longest["key"], longest["count"], longest["position"]) == ("k", 3, 1)
    assert (newest["key"], newest["count"], newest["position"]) == ("other", 1, 2)
    assert longest["since"] < before <= newest["since"]
    worker.drain()


async def test_a_flood_loses_its_last_and_a_newcomer_keeps_its_place(
    world: World, gate: Gate
) -> None:
    world.max_waiting = 3
    world.start_worker(gated(gate))
    await start_one(world, gate)
    flood = [await accept(world, letter, key="flood") for letter in "bcd"]
    newcomer = await accept(world, "e", key="other")
    with pytest.raises(QueueFull, match=r"^3 requests wait .* number 4 in") as caught:
        await collect(flood[2])
    assert caught.value.retry_after
    with pytest.raises(QueueFull):
        await collect(await world.submit("f", key="flood"))
    gate.open()
    for stream, letter in zip([*flood[:2], newcomer], "bce", strict=True):
        assert text_of(await collect(stream)) == letter * 9


async def test_pending_requests_in_a_worker_keep_their_deadline(
    world: World, gate: Gate
) -> None:
    backend = gated(gate)
    worker = world.start_worker(backend)
    running = await start_one(world, gate)
    ahead = await accept(world, "b")
    with pytest.raises(QueueTimeout, match="as number 2 in line, and was"):
        await collect(await world.submit("c", timeout_s=0.3))
    await until(lambda: len(worker.model._accepted) == 2)
    gate.open()
    for stream in (running, ahead):
        await collect(stream)
    assert "c" not in backend.computed()


async def test_pending_requests_of_a_dead_worker_continue_in_the_next(
    world: World, gate: Gate
) -> None:
    world.start_worker(gated(gate, n_seq_max=2))
    streams = [await accept(world, letter) for letter in "abcde"]
    await world.kill("life-1")
    world.start_worker(scripted(FakeBackend()), "life-2")
    for stream, letter in zip(streams, "abcde", strict=True):
        assert text_of(await collect(stream)) == letter * 9


async def test_a_draining_worker_hands_back_what_waits_at_once(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_watch, "_LOST_AFTER_S", WAIT_S)
    worker = world.start_worker(gated(gate))
    running = await start_one(world, gate)
    waiting = [await accept(world, letter) for letter in "bc"]
    worker.drain()
    world.start_worker(scripted(FakeBackend()), "life-2")
    for stream, letter in zip(waiting, "bc", strict=True):
        assert text_of(await collect(stream)) == letter * 9
        assert stream.attempts == 0
    gate.open()
    assert text_of(await collect(running)) == "a" * 9
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0


async def test_a_worker_that_has_to_drain_while_it_loads_ends(world: World) -> None:
    worker = world.start_worker(FakeBackend())
    worker.drain()
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0


async def test_what_comes_to_a_worker_that_drains_is_queued_again_at_once(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_watch, "_LOST_AFTER_S", WAIT_S)
    begun: list[str] = []

    async def noted(layer: Any, queue: str, patience_s: float) -> Any:
        if queue == queue_name(world.model_id):
            begun.append(queue)
        return await take(layer, queue, patience_s)

    monkeypatch.setattr(receiver, "take", noted)
    worker = world.start_worker(gated(gate))
    running = await start_one(world, gate)
    # The wait for the next request after the running one cannot be undone.
    await until(lambda: len(begun) == 2)
    worker.drain()
    late = await world.submit("b")
    taken = late.request_id
    await until(lambda: late.request_id != taken)
    world.start_worker(scripted(FakeBackend()), "life-2")
    assert text_of(await collect(late)) == "b" * 9
    gate.open()
    await collect(running)


async def test_what_is_handed_back_to_a_full_queue_is_not_lost(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = world.start_worker(gated(gate))
    running = await start_one(world, gate)
    waiting = [await accept(world, letter) for letter in "bcd"]
    monkeypatch.setattr(channel_layers["queue"], "capacity", 1)
    monkeypatch.setattr(channel_layers["queue"], "channel_capacity", [])
    worker.drain()
    await until(lambda: not any(stream.worker for stream in waiting))
    world.start_worker(scripted(FakeBackend()), "life-2")
    for stream, letter in zip(waiting, "bcd", strict=True):
        assert text_of(await collect(stream)) == letter * 9
    gate.open()
    await collect(running)


async def test_a_worker_with_room_gets_what_waits_in_another(
    world: World, gate: Gate
) -> None:
    world.start_worker(gated(gate))
    await start_one(world, gate)
    waiting = [await accept(world, letter) for letter in "bcdefghij"]
    world.start_worker(scripted(FakeBackend(n_seq_max=2)), "life-2")
    # The first worker's model stands still: all that ends has ended in the second.
    for stream, letter in zip(waiting, "bcdefghij", strict=True):
        assert text_of(await collect(stream)) == letter * 9
        assert stream.attempts == 0


async def test_a_worker_with_room_comes_first_to_the_queue(
    world: World, gate: Gate
) -> None:
    busy = world.start_worker(gated(gate))
    await start_one(world, gate)
    idle = world.start_worker(scripted(FakeBackend()), "life-2")
    await until(
        lambda: not busy._stealing.peers.is_alone and not idle._stealing.peers.is_alone
    )
    # Since before there was another, the busy one has been waiting for a request.
    assert text_of(await collect(await world.submit("b"))) == "b" * 9
    for letter in "cdefg":
        stream = await accept(world, letter)
        assert stream.worker == "life-2"
        await collect(stream)


async def test_a_full_worker_takes_what_nobody_else_does(
    world: World, gate: Gate
) -> None:
    first = world.start_worker(gated(gate))
    second = world.start_worker(gated(gate), "life-2")
    await until(
        lambda: (
            not first._stealing.peers.is_alone and not second._stealing.peers.is_alone
        )
    )
    for letter in "abcdef":
        await accept(world, letter)
    assert await depth(channel_layers["queue"], queue_name(world.model_id)) == 0


async def test_an_answer_that_goes_on_comes_before_what_has_not_begun(
    world: World, gate: Gate
) -> None:
    world.start_worker(gated(gate))
    running = await start_one(world, gate)
    await world.kill("life-1")
    second = Gate()
    world.max_waiting = 1
    world.start_worker(gated(second), "life-2")
    await until(lambda: running.worker == "life-2")
    waiting = await world.submit("b", key="first", priority=-100)
    with pytest.raises(QueueFull):
        await collect(await world.submit("c", key="first", priority=-100))
    second.open()
    for stream, letter in ((running, "a"), (waiting, "b")):
        assert text_of(await collect(stream)) == letter * 9


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_to_workers_every_answer_is_whole(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Thirty requests, while workers are killed, drained and started at random."""
    monkeypatch.setattr(stream_watch, "_MAX_ATTEMPTS", 1000)
    chance = random.Random(seed)
    lives = count()
    alive: dict[str, tuple[QueueServer, Gate]] = {}

    def start() -> None:
        name, gate = f"life-{next(lives)}", Gate()
        alive[name] = world.start_worker(gated(gate, n_seq_max=2), name), gate

    async def end() -> None:
        name = chance.choice(sorted(alive))
        worker, gate = alive.pop(name)
        if chance.random() < 0.5:
            worker.drain()
            gate.open()
            await asyncio.wait_for(world.workers[name], WAIT_S)
        await world.kill(name)
        gate.open()

    for _ in range(3):
        start()
    letters = [chance.choice("abcdefghij") for _ in range(30)]
    streams = [await world.submit(each, key=chance.choice("xyz")) for each in letters]
    reading = [asyncio.create_task(collect(stream)) for stream in streams]

    async def progress() -> None:
        before = sum(len(stream.tokens) for stream in streams)
        await until(
            lambda: (
                sum(len(stream.tokens) for stream in streams) > before
                or all(task.done() for task in reading)
            )
        )

    for _ in range(10):
        for _, gate in alive.values():
            gate.allow(chance.randint(1, 4))
        await progress()
        await end()
        start()
    for _, gate in alive.values():
        gate.open()
    for events, letter in zip(await asyncio.gather(*reading), letters, strict=True):
        assert text_of(events) == letter * 9
