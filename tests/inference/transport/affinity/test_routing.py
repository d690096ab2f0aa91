"""Requests to two replicas over a real Redis, with scripted models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference.engine import SamplingParams
from inference.engine.output import SequenceOutput
from inference.engine.request import GenerationRequest
from inference.transport import stream_watch
from inference.transport.affinity.metrics import ROUTED, SAVED_TOKENS, Routing
from inference.transport.affinity.prefix_hashes import prefix_hashes
from inference.transport.queue import depth, hand_over, own_queue, put, queue_name
from inference.worker.queue import work_stealing
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, GatedBackend, World, collect, until

if TYPE_CHECKING:
    from inference.transport.client import EngineClient
    from inference.transport.stream import Stream
    from inference.worker.queue.server import QueueServer
    from tests.inference.world import Gate

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = queue_name(World.model_id)
BEGIN = "a long beginning " * 20


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_stealing, "_HEARTBEAT_EVERY_S", 0.05)
    # On a busy machine a worker may take long to take a request.
    monkeypatch.setattr(stream_watch, "_LOST_AFTER_S", WAIT_S)


def model() -> FakeBackend:
    return FakeBackend(n_ctx=4096, n_batch=4096)


async def hears(client: EngineClient, *names: str) -> None:
    """Wait until a web process has heard these workers, and no others."""
    await client._start()
    await client._heartbeats.follow(QUEUE)
    await until(lambda: client._affinity._loads(QUEUE).keys() == set(names))


async def start_two(world: World) -> dict[str, QueueServer]:
    servers = {name: world.start_worker(model(), name) for name in ("one", "two")}
    await hears(world.client, *servers)
    return servers


async def ask(world: World, prompt: str, **fields: Any) -> Stream:
    return await world.submit(prompt, params=SamplingParams(max_tokens=3), **fields)


async def answer(world: World, prompt: str) -> tuple[str, int]:
    """Return which worker answered, and how many tokens it had of the prompt."""
    stream = await ask(world, prompt)
    events = await collect(stream)
    (start,) = [e for e in events if isinstance(e, SequenceOutput) and e.is_start]
    return stream.worker, start.num_cached


def teach(world: World, worker: str, prompt: str) -> None:
    """Let the web process know that a worker has a prompt."""
    request = GenerationRequest("", [], SamplingParams(), prompt=prompt, owner="o")
    hashes = prefix_hashes(QUEUE, request)
    world.client._affinity._known.put(worker, (number for number, _ in hashes))


def value(counter: Any, *labels: str) -> float:
    return float(counter.labels("fake", *labels)._value.get())


async def test_each_turn_of_a_chat_goes_where_the_turns_before_went(
    world: World,
) -> None:
    await start_two(world)
    saved, sent = value(SAVED_TOKENS), value(ROUTED, Routing.SENT)
    chats = [f"chat {number} {BEGIN}" for number in range(2)]
    homes: dict[int, str] = {}
    cached = 0
    for turn in range(3):
        for number, chat in enumerate(chats):
            worker, num_cached = await answer(world, chat)
            assert homes.setdefault(number, worker) == worker
            if turn:
                assert num_cached >= len(chat) - 40
                cached += num_cached
            chats[number] += f" and turn {turn}"
    assert value(SAVED_TOKENS) - saved == cached
    assert value(ROUTED, Routing.SENT) - sent == 4


async def test_another_web_process_learns_from_the_workers_who_has_what(
    world: World,
) -> None:
    await start_two(world)
    other = World()
    try:
        await hears(other.client, "one", "two")
        home, _ = await answer(world, BEGIN)
        known = other.client._affinity._known
        await until(lambda: len(known) == len(BEGIN) // 128)
        stream = await ask(other, BEGIN)
        assert stream.sent_to == home
        await collect(stream)
    finally:
        await other.client.aclose()


async def test_a_replica_without_room_gets_nothing_that_another_has_room_for(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate, n_seq_max=2)
    world.start_worker(backend, "one")
    world.start_worker(model(), "two")
    await hears(world.client, "one", "two")
    teach(world, "one", BEGIN)
    held = [await ask(world, BEGIN) for _ in range(2)]
    assert [stream.sent_to for stream in held] == ["one", "one"]
    more = [await ask(world, BEGIN) for _ in range(2)]
    assert "one" not in {stream.sent_to for stream in more}
    gate.open()
    for stream in (*held, *more):
        await collect(stream)


async def test_what_was_sent_to_a_dead_worker_is_taken_by_another(
    world: World,
) -> None:
    await start_two(world)
    home, _ = await answer(world, BEGIN)
    (other,) = {"one", "two"} - {home}
    await world.end(home)
    stream = await ask(world, BEGIN)
    assert stream.sent_to == home
    world.tell_rows()
    await collect(stream)
    assert stream.worker == other


async def test_what_a_frozen_worker_does_not_take_is_taken_by_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row says that it is there, and nobody else can know better."""
    await start_two(world)
    home, _ = await answer(world, BEGIN)
    (other,) = {"one", "two"} - {home}
    await world.end(home)
    monkeypatch.setattr(stream_watch, "_LOST_AFTER_S", 0.3)
    stream = await ask(world, BEGIN)
    sent_to = stream.sent_to
    await collect(stream)
    assert sent_to == home
    assert stream.worker == other


async def test_a_worker_that_drains_says_so_and_gives_back_what_it_is_sent(
    world: World, gate: Gate
) -> None:
    first = world.start_worker(GatedBackend(gate), "one")
    world.start_worker(model(), "two")
    await hears(world.client, "one", "two")
    teach(world, "one", BEGIN)
    running = await ask(world, BEGIN)
    gate.allow(1)
    await until(lambda: running.is_started)
    late = await ask(world, BEGIN)
    assert late.sent_to == "one"
    first.drain()
    await collect(late)
    assert late.worker == "two"
    await until(lambda: world.client._heartbeats.serving(QUEUE) == {"two"})
    gate.open()
    await collect(running)


async def test_what_is_left_in_the_queue_of_a_worker_that_ends_goes_to_all() -> None:
    layer = channel_layers["queue"]
    own = own_queue(QUEUE, "one")
    await put(layer, own, {"type": "left"}, 1.0)
    await put(layer, QUEUE, {"type": "here"}, 2.0)
    await hand_over(layer, own, QUEUE)
    assert [await depth(layer, name) for name in (own, QUEUE)] == [0, 2]
    assert await layer.connection(0).ttl(layer.prefix + QUEUE) > 0
    await layer.flush()
