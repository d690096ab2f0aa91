"""Client and worker over a real Redis, with a scripted model."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference.engine import SamplingParams
from inference.engine.output import SequenceOutput
from inference.engine.sequence import FinishReason
from inference.errors import (
    AnswerCannotResume,
    EngineUnavailable,
    ModelLoadFailed,
    QueueFull,
    QueueTimeout,
    RequestRejected,
)
from inference.serving import ServingStatus
from inference.transport import stream_watch
from inference.transport.messages.events import Accepted, Event
from inference.transport.queue import put
from inference.transport.stream_watch import StreamWatch
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, Gate, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


def stepped_until_empty(backend: FakeBackend, gate: Gate) -> bool:
    """Let one more step through; whether no sequence is left."""
    gate.allow(1)
    return not backend.samplers


async def test_a_request_becomes_a_stream_of_events(world: World) -> None:
    backend = FakeBackend()
    backend.script("hi", "hello")
    world.start_worker(backend)
    events = await collect(await world.submit("hi"))
    assert isinstance(events[0], Accepted)
    assert events[0].prompt_tokens == 2
    assert isinstance(events[1], SequenceOutput)
    assert events[1].is_start
    assert text_of(events) == "hello"
    last = events[-1]
    assert isinstance(last, SequenceOutput)
    assert (last.finish_reason, last.num_output) == (FinishReason.STOP, 6)


async def test_a_request_waits_in_the_queue_until_a_worker_comes(world: World) -> None:
    stream = await world.submit("hi")
    assert await stream.events(0.2) == []
    backend = FakeBackend()
    backend.script("hi", "here")
    world.start_worker(backend)
    assert text_of(await collect(stream)) == "here"
    assert world.num_ensured >= 1


async def test_a_closed_stream_leaves_the_worker(world: World, gate: Gate) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "x" * 3000)
    world.start_worker(backend)
    stream = await world.submit("go")
    gate.allow(5)
    while not text_of(await stream.events(WAIT_S)):
        pass
    await stream.aclose()
    await until(lambda: stepped_until_empty(backend, gate))
    assert len(backend.shapes) < 3000


async def test_a_stream_closed_before_it_started_does_not_run_on(
    world: World, gate: Gate
) -> None:
    stream = await world.submit("go")
    await stream.aclose()
    backend = GatedBackend(gate)
    backend.script("go", "x" * 3000)
    world.start_worker(backend)
    await until(lambda: bool(backend.samplers))
    await until(lambda: stepped_until_empty(backend, gate))
    assert len(backend.shapes) < 3000


async def test_a_request_that_cannot_run_is_refused_with_its_field(
    world: World,
) -> None:
    world.start_worker(FakeBackend(n_ctx=8))
    stream = await world.submit("123456789")
    with pytest.raises(RequestRejected) as caught:
        await stream.events(WAIT_S)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "prompt"


async def test_an_answer_that_the_next_worker_has_no_room_for_ends_with_the_numbers(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    first.script("go", "0123456789" * 5)
    world.start_worker(first)
    stream = await world.submit("go")
    gate.allow(12)
    await until(lambda: len(stream.tokens) == 12)
    await world.kill("life-1")
    world.start_worker(FakeBackend(n_ctx=10), "life-2")
    with pytest.raises(RequestRejected, match=r"10 tokens.* 2 tokens and 12") as caught:
        await collect(stream)
    assert caught.value.code == "context_length_exceeded"


async def test_a_dead_workers_stream_continues_with_the_next_worker(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    first.script("go", "0123456789" * 5)
    world.start_worker(first)
    stream = await world.submit("go", params=SamplingParams(max_tokens=50))
    gate.allow(7)
    events: list[Event] = []
    while not text_of(events):
        events += await stream.events(WAIT_S)
    await world.kill_workers()
    gate.open()
    second = FakeBackend(n_ctx=4096)
    second.script("go", "0123456789" * 5)
    world.start_worker(second, "life-2")
    events += await collect(stream)
    assert text_of(events) == "0123456789" * 5
    assert sum(isinstance(event, Accepted) for event in events) == 1
    outputs = [event for event in events if isinstance(event, SequenceOutput)]
    assert sum(output.is_start for output in outputs) == 1
    assert (outputs[-1].num_prompt, outputs[-1].num_output) == (2, 50)


async def test_an_answer_goes_on_with_the_model_that_began_it_only(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    first.script("go", "0123456789" * 5)
    world.start_worker(first, fingerprint="one")
    begun = await world.submit("go", params=SamplingParams(max_tokens=50))
    gate.allow(7)
    await until(lambda: len(begun.tokens) > 2)
    await world.kill_workers()
    gate.open()
    waiting = await world.submit("hi")
    other = FakeBackend(n_ctx=4096)
    other.script("hi", "from another file")
    world.start_worker(other, "life-2", fingerprint="two")
    with pytest.raises(AnswerCannotResume, match="was replaced"):
        await collect(begun)
    assert text_of(await collect(waiting)) == "from another file"


async def test_a_request_that_kills_every_worker_is_given_up(world: World) -> None:
    stream = await world.submit("go")
    gates = []
    for life in range(10):
        gates.append(Gate())
        backend = GatedBackend(gates[-1])
        backend.script("go", "x" * 4000)
        world.start_worker(backend, f"life-{life}")
        gates[-1].allow(1)
        await until(lambda: stream.is_started or stream.is_done)
        if stream.is_done:
            break
        await world.kill(f"life-{life}")
        await until(lambda: not stream.worker)
    for gate in gates:
        gate.open()
    with pytest.raises(EngineUnavailable, match="crashed 4 times"):
        await collect(stream)


async def test_a_request_that_only_waited_is_no_reason_for_a_crash(
    world: World, gate: Gate
) -> None:
    class NeverStarts(GatedBackend):
        def open(self, request_id: str, *args: Any, **options: Any) -> None:
            if not request_id.startswith("warm-up"):
                gate.wait()
            super().open(request_id, *args, **options)

    stream = await world.submit("go")
    for life in range(6):
        world.start_worker(NeverStarts(gate), f"life-{life}")
        await until(lambda: bool(stream.worker))
        await world.kill(f"life-{life}")
        await until(lambda: not stream.worker)
    last = FakeBackend()
    last.script("go", "done")
    world.start_worker(last, "last")
    assert text_of(await collect(stream)) == "done"


async def test_a_lost_frame_is_sent_again(world: World) -> None:
    layer = channel_layers["default"]
    send = layer.send
    lost: list[int] = []

    async def lossy(channel: str, message: dict[str, Any]) -> None:
        seq = message.get("seq")
        if message["type"] == "engine.frame" and seq in (2, 4) and seq not in lost:
            lost.append(seq)
            return
        await send(channel, message)

    backend = FakeBackend(n_ctx=4096)
    backend.script("go", "abcdefghij" * 20)
    world.start_worker(backend, reply_layer=_Lossy(layer, lossy))
    assert text_of(await collect(await world.submit("go"))) == "abcdefghij" * 20
    assert lost == [2, 4] or lost == [2]


class _Lossy:
    """A channel layer that loses the messages that the test picks."""

    def __init__(self, layer: Any, send: Any) -> None:
        self._layer = layer
        self.send = send

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


async def test_a_request_lost_with_redis_is_queued_again(world: World) -> None:
    stream = await world.submit("hi")
    await channel_layers["queue"].flush()
    backend = FakeBackend()
    backend.script("hi", "yo")
    world.start_worker(backend)
    assert text_of(await collect(stream)) == "yo"


async def test_a_full_queue_refuses_with_numbers_and_a_time_to_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.status = replace(world.status, waiting=40)
    monkeypatch.setattr(channel_layers["queue"], "capacity", 2)
    monkeypatch.setattr(channel_layers["queue"], "channel_capacity", [])
    streams = [await world.submit("a", "one"), await world.submit("b", "two")]
    looks = world.looks
    await until(lambda: world.looks > looks + 1)
    with pytest.raises(QueueFull, match=r"42 requests wait .* number 43 in") as caught:
        await world.submit("c")
    assert caught.value.retry_after
    for stream in streams:
        await stream.aclose()


async def test_a_model_that_cannot_be_loaded_fails_its_waiting_requests(
    world: World,
) -> None:
    stream = await world.submit("hi")
    world.status = ServingStatus(error="unknown architecture 'x'")
    with pytest.raises(ModelLoadFailed, match="unknown architecture"):
        await stream.events(WAIT_S)


async def test_a_request_waits_no_longer_than_it_may(world: World) -> None:
    stream = await world.submit("hi", timeout_s=0.2)
    with pytest.raises(QueueTimeout, match="'fake' and was not started"):
        await stream.events(WAIT_S)


async def test_a_draining_worker_finishes_what_runs_and_takes_nothing_new(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("a", "done")
    worker = world.start_worker(backend)
    running = await world.submit("a")
    gate.allow(1)
    await until(lambda: running.is_started)
    worker.drain()
    late = await world.submit("b")
    gate.open()
    assert text_of(await collect(running)) == "done"
    assert await asyncio.wait_for(world.workers["life-1"], WAIT_S) == 0
    second = FakeBackend()
    second.script("b", "next")
    world.start_worker(second, "life-2")
    assert text_of(await collect(late)) == "next"


async def test_a_worker_stops_what_a_dead_web_process_had_asked_for(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.transport.frame_sender.LEASE_BEATS", 4)
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 0.05)
    backend = GatedBackend(gate)
    backend.script("go", "x" * 4000)
    world.start_worker(backend)
    stream = await world.submit("go")
    await stream.events(WAIT_S)
    await world.client.aclose()
    await until(lambda: stepped_until_empty(backend, gate))
    assert len(backend.shapes) < 4000


async def test_a_web_process_that_was_idle_for_long_is_served_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.transport.frame_sender.LEASE_BEATS", 4)
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 0.02)
    backend = FakeBackend()
    backend.script("hi", "hello")
    worker = world.start_worker(backend)
    assert text_of(await collect(await world.submit("hi"))) == "hello"
    lines = worker._replies._frames._lines
    await until(lambda: not lines)
    assert text_of(await collect(await world.submit("hi"))) == "hello"


async def test_a_worker_that_still_speaks_outlives_its_engines_heartbeat(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "abc" * 30)
    world.start_worker(backend)
    stream = await world.submit("go")
    gate.allow(5)
    events = await stream.events(WAIT_S)
    world.status = ServingStatus(doubtful=frozenset({"life-1"}))
    looks = world.looks
    await until(lambda: world.looks > looks + 3)
    gate.open()
    assert text_of(events + await collect(stream)) == "abc" * 30
    assert stream.attempts == 0


async def test_all_streams_of_a_lost_worker_continue_without_repeated_tokens(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    for name in "ab":
        first.script(name, "0123456789" * 4)
    worker = world.start_worker(first)
    streams = [
        await world.submit(name, params=SamplingParams(max_tokens=40)) for name in "ab"
    ]
    gate.allow(9)
    events = [await stream.events(WAIT_S) for stream in streams]
    # The rows say that it is gone; it still sends the output of running requests.
    worker.drain()
    second = FakeBackend(n_ctx=4096)
    for name in "ab":
        second.script(name, "0123456789" * 4)
    world.status = ServingStatus(has_worker=True)
    await until(lambda: not any(stream.worker for stream in streams))
    gate.open()
    world.start_worker(second, "life-2")
    for stream, seen in zip(streams, events, strict=True):
        assert text_of(seen + await collect(stream)) == "0123456789" * 4


async def test_a_stream_outlives_a_redis_that_is_away_when_its_worker_dies(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = GatedBackend(gate)
    first.script("go", "abc" * 20)
    world.start_worker(first)
    stream = await world.submit("go")
    gate.allow(5)
    events = await stream.events(WAIT_S)
    tries = 0

    async def away_twice(*arguments: Any) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise ConnectionError("Redis is away")
        await put(*arguments)

    monkeypatch.setattr("inference.transport.client.put", away_twice)
    await world.kill_workers()
    second = FakeBackend(n_ctx=4096)
    second.script("go", "abc" * 20)
    world.start_worker(second, "life-2")
    assert text_of(events + await collect(stream)) == "abc" * 20
    assert tries == 3


async def test_a_stream_that_is_closed_while_it_waits_for_a_new_worker_stays_closed(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "x" * 3000)
    world.start_worker(backend)
    stream = await world.submit("go")
    await stream.events(WAIT_S)
    await world.kill_workers()
    world.status = ServingStatus(has_worker=True)
    await until(lambda: not stream.worker)
    await stream.aclose()
    looks = world.looks
    await until(lambda: world.looks > looks or not len(world.client._streams))
    assert len(world.client._streams) == 0


async def test_rows_are_read_while_a_request_has_no_worker_that_speaks(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    leave_lost_workers = StreamWatch._leave_lost_workers

    def count(watch: StreamWatch) -> None:
        nonlocal checks
        checks += 1
        leave_lost_workers(watch)

    monkeypatch.setattr(StreamWatch, "_leave_lost_workers", count)
    monkeypatch.setattr(stream_watch, "_READ_EVERY_S", 3600)
    monkeypatch.setattr(stream_watch, "_QUIET_AFTER_S", 3600)
    backend = GatedBackend(gate)
    backend.script("go", "abc" * 30)
    stream = await world.submit("go")
    # Nobody has it yet.
    looks = world.looks
    await until(lambda: world.looks > looks + 3)
    world.start_worker(backend)
    await until(lambda: bool(stream.worker))
    looks, before = world.looks, checks
    await until(lambda: checks > before + 3)
    # One may have been on its way.
    assert world.looks <= looks + 1
    # It is silent, and may be gone.
    monkeypatch.setattr(stream_watch, "_QUIET_AFTER_S", 0)
    looks = world.looks
    await until(lambda: world.looks > looks + 3)
    gate.open()
    assert text_of(await collect(stream)) == "abc" * 30
