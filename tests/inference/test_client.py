"""Client and worker over a real Redis, with a scripted model."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers

from inference import client as client_module
from inference import services
from inference.client import EngineClient, Job, Stream
from inference.engine import EngineConfig, SamplingParams
from inference.errors import (
    EngineUnavailable,
    ModelLoadFailed,
    QueueFull,
    QueueTimeout,
    RequestRejected,
)
from inference.protocol import Accepted, Event, Finished, TokensGenerated, queue_name
from inference.services import ModelSituation
from inference.worker import Worker
from inference.worker_messages import WorkerReport, WorkerSpec
from tests.inference.engine.fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from inference.engine.backend import Backend
    from inference.engine.plan import StepPlan

#: Only to let the client ask; what it would learn is scripted.
pytestmark = pytest.mark.django_db(transaction=True)

_WAIT_S = 20.0


class Gate:
    """Lets the steps of a model through, some or all."""

    def __init__(self) -> None:
        self._steps = threading.Semaphore(0)

    def allow(self, steps: int) -> None:
        self._steps.release(steps)

    def open(self) -> None:
        self._steps.release(1_000_000)

    def wait(self) -> None:
        assert self._steps.acquire(timeout=_WAIT_S)


class GatedBackend(FakeBackend):
    """A scripted model whose steps wait for the test's word."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(n_seq_max=2, n_ctx=4096)
        self._gate = gate

    def decode(self, plan: StepPlan) -> dict[int, int]:
        self._gate.wait()
        return super().decode(plan)


class World:
    """One model with its queue, its workers, and the web side's view of them."""

    model_id = 7

    def __init__(self) -> None:
        self.situation = ModelSituation(has_worker=True)
        self.workers: list[asyncio.Task[int]] = []
        self.reports: dict[str, WorkerReport] = {}
        self.client = EngineClient(
            queue=channel_layers["queue"], replies=channel_layers["default"]
        )
        self.wished = 0
        self.looks = 0

    async def ensure_worker(self, model_id: int) -> bool:
        self.wished += 1
        return False

    def model_situations(self, ids: Iterable[int]) -> dict[int, ModelSituation]:
        self.looks += 1
        return dict.fromkeys(ids, self.situation)

    def start_worker(self, backend: FakeBackend, name: str = "life-1") -> Worker:
        def load(progress: Callable[[float], None]) -> Backend:
            progress(1.0)
            return backend

        def report(status: WorkerReport) -> None:
            self.reports[name] = status

        spec = WorkerSpec(
            queue=queue_name(self.model_id),
            incarnation=name,
            model_name="fake",
            engine=EngineConfig(paths=(), n_ctx=64, n_seq_max=2),
        )
        worker = Worker(
            spec,
            queue=channel_layers["queue"],
            replies=channel_layers["default"],
            report=report,
            load=load,
        )
        self.workers.append(asyncio.create_task(worker.run()))
        self.situation = ModelSituation(
            incarnations=frozenset({name}), has_worker=True, has_room=True
        )
        return worker

    async def kill_workers(self) -> None:
        for task in self.workers:
            task.cancel()
        await asyncio.gather(*self.workers, return_exceptions=True)
        self.workers = []

    async def submit(self, prompt: str, **params: Any) -> Stream:
        return await self.client.submit(self.job(prompt, **params))

    def job(self, prompt: str, **params: Any) -> Job:
        return Job(
            model_id=self.model_id,
            model_name="fake",
            prompt=prompt,
            params=SamplingParams(**params),
            special=False,
            tenant="t",
            key="k",
            timeout_s=30,
        )


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World()
    monkeypatch.setattr(services, "ensure_worker", world.ensure_worker)
    monkeypatch.setattr(services, "model_situations", world.model_situations)
    monkeypatch.setattr(client_module, "_WATCH_EVERY_S", 0.05)
    monkeypatch.setattr(client_module, "_LOST_AFTER_S", 0.3)
    yield world
    await world.client.aclose()
    await world.kill_workers()
    await channel_layers["queue"].flush()
    await channel_layers["default"].flush()


async def collect(stream: Stream) -> list[Event]:
    """Read a stream to its end."""
    events: list[Event] = []
    while not events or not isinstance(events[-1], Finished):
        batch = await stream.events(_WAIT_S)
        assert batch, "the stream is silent"
        events += batch
    await stream.aclose()
    return events


def text_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, TokensGenerated | Finished))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def stepped_until_empty(backend: FakeBackend, gate: Gate) -> bool:
    """Let one more step through; whether no sequence is left."""
    gate.allow(1)
    return not backend.open


async def test_a_job_becomes_a_stream_of_events(world: World) -> None:
    backend = FakeBackend()
    backend.script("hi", "hello")
    world.start_worker(backend)
    events = await collect(await world.submit("hi"))
    assert isinstance(events[0], Accepted)
    assert events[0].prompt_tokens == 2
    assert text_of(events) == "hello"
    last = events[-1]
    assert isinstance(last, Finished)
    assert (last.reason, last.usage.completion_tokens) == ("stop", 6)


async def test_a_job_waits_in_the_queue_until_a_worker_comes(world: World) -> None:
    stream = await world.submit("hi")
    assert await stream.events(0.2) == []
    backend = FakeBackend()
    backend.script("hi", "here")
    world.start_worker(backend)
    assert text_of(await collect(stream)) == "here"
    assert world.wished >= 1


async def test_a_worker_takes_no_more_than_it_has_slots(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    for name in "abc":
        backend.script(name, "x")
    world.start_worker(backend)
    streams = [await world.submit(name) for name in "abc"]
    first = [await stream.events(_WAIT_S) for stream in streams[:2]]
    assert all(isinstance(events[0], Accepted) for events in first)
    assert await streams[2].events(0.3) == []
    gate.open()
    assert text_of(await collect(streams[2])) == "x"


async def test_a_closed_stream_leaves_the_worker(world: World, gate: Gate) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "x" * 3000)
    world.start_worker(backend)
    stream = await world.submit("go")
    gate.allow(5)
    while not any(
        isinstance(event, TokensGenerated) for event in await stream.events(_WAIT_S)
    ):
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
    await until(lambda: bool(backend.open))
    await until(lambda: stepped_until_empty(backend, gate))
    assert len(backend.shapes) < 3000


async def test_a_request_that_cannot_run_is_refused_with_its_field(
    world: World,
) -> None:
    world.start_worker(FakeBackend(n_ctx=8))
    stream = await world.submit("123456789")
    with pytest.raises(RequestRejected) as caught:
        await stream.events(_WAIT_S)
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.param == "prompt"


async def test_a_dead_workers_stream_goes_on_with_the_next_worker(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    first.script("go", "0123456789" * 5)
    world.start_worker(first)
    stream = await world.submit("go", max_tokens=50)
    gate.allow(7)
    events: list[Event] = []
    while not any(isinstance(event, TokensGenerated) for event in events):
        events += await stream.events(_WAIT_S)
    await world.kill_workers()
    gate.open()
    second = FakeBackend(n_ctx=4096)
    second.script("go", "0123456789" * 5)
    world.start_worker(second, "life-2")
    events += await collect(stream)
    assert text_of(events) == "0123456789" * 5
    assert sum(isinstance(event, Accepted) for event in events) == 1
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.usage.completion_tokens == 50
    assert last.usage.prompt_tokens == 2


async def test_a_request_that_kills_every_worker_is_given_up(
    world: World, gate: Gate
) -> None:
    stream = await world.submit("go")
    for life in range(10):
        backend = GatedBackend(gate)
        backend.script("go", "x" * 4000)
        world.start_worker(backend, f"life-{life}")
        try:
            await until(lambda: bool(stream.owner) or stream.is_done)
        finally:
            await world.kill_workers()
        world.situation = ModelSituation(has_worker=True)
        await until(lambda: not stream.owner)
        if stream.is_done:
            break
    with pytest.raises(EngineUnavailable, match="crashed"):
        await collect(stream)


async def test_a_lost_frame_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    worker = world.start_worker(backend)
    monkeypatch.setattr(worker, "_replies", _Lossy(layer, lossy))
    assert text_of(await collect(await world.submit("go"))) == "abcdefghij" * 20
    assert lost == [2, 4] or lost == [2]


class _Lossy:
    """A channel layer that loses what the test picks."""

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


async def test_a_full_queue_refuses_with_a_time_to_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_layers["queue"], "capacity", 2)
    monkeypatch.setattr(channel_layers["queue"], "channel_capacity", [])
    streams = [await world.submit("a"), await world.submit("b")]
    with pytest.raises(QueueFull) as caught:
        await world.submit("c")
    assert caught.value.retry_after
    for stream in streams:
        await stream.aclose()


async def test_a_model_that_cannot_be_loaded_fails_its_waiting_requests(
    world: World,
) -> None:
    stream = await world.submit("hi")
    world.situation = ModelSituation(error="unknown architecture 'x'")
    with pytest.raises(ModelLoadFailed, match="unknown architecture"):
        await stream.events(_WAIT_S)


async def test_a_request_waits_no_longer_than_it_may(world: World) -> None:
    stream = await world.client.submit(replace(world.job("hi"), timeout_s=0.2))
    with pytest.raises(QueueTimeout):
        await stream.events(_WAIT_S)


async def test_a_draining_worker_finishes_what_runs_and_takes_nothing_new(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("a", "done")
    worker = world.start_worker(backend)
    running = await world.submit("a")
    await running.events(_WAIT_S)
    worker.drain()
    late = await world.submit("b")
    gate.open()
    assert text_of(await collect(running)) == "done"
    assert await asyncio.wait_for(world.workers[0], _WAIT_S) == 0
    second = FakeBackend()
    second.script("b", "next")
    world.start_worker(second, "life-2")
    assert text_of(await collect(late)) == "next"


async def test_a_worker_stops_what_a_dead_web_process_had_asked_for(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.outbox.LEASE_S", 0.2)
    monkeypatch.setattr("inference.worker._REPORT_EVERY_S", 0.05)
    backend = GatedBackend(gate)
    backend.script("go", "x" * 4000)
    world.start_worker(backend)
    stream = await world.submit("go")
    await stream.events(_WAIT_S)
    await world.client.aclose()
    await until(lambda: stepped_until_empty(backend, gate))
    assert len(backend.shapes) < 4000


async def test_a_web_process_that_was_idle_for_long_is_served_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.outbox.LEASE_S", 0.1)
    monkeypatch.setattr("inference.worker._REPORT_EVERY_S", 0.02)
    backend = FakeBackend()
    backend.script("hi", "hello")
    worker = world.start_worker(backend)
    assert text_of(await collect(await world.submit("hi"))) == "hello"
    outbox = worker._outbox
    assert outbox is not None
    await until(lambda: all(box.is_expired for box in outbox._boxes.values()))
    assert text_of(await collect(await world.submit("hi"))) == "hello"


async def test_a_worker_that_still_speaks_outlives_its_engines_heartbeat(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "abc" * 30)
    world.start_worker(backend)
    stream = await world.submit("go")
    gate.allow(5)
    events = await stream.events(_WAIT_S)
    world.situation = ModelSituation(doubtful=frozenset({"life-1"}))
    looks = world.looks
    await until(lambda: world.looks > looks + 3)
    gate.open()
    assert text_of(events + await collect(stream)) == "abc" * 30
    assert stream.attempts == 0


async def test_all_streams_of_a_lost_worker_go_on_without_doubled_tokens(
    world: World, gate: Gate
) -> None:
    first = GatedBackend(gate)
    for name in "ab":
        first.script(name, "0123456789" * 4)
    worker = world.start_worker(first)
    streams = [await world.submit(name, max_tokens=40) for name in "ab"]
    gate.allow(9)
    events = [await stream.events(_WAIT_S) for stream in streams]
    # The rows say that it is gone; it goes on sending what runs.
    worker.drain()
    second = FakeBackend(n_ctx=4096)
    for name in "ab":
        second.script(name, "0123456789" * 4)
    world.situation = ModelSituation(has_worker=True)
    await until(lambda: not any(stream.owner for stream in streams))
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
    events = await stream.events(_WAIT_S)
    tries = 0
    send = channel_layers["queue"].send

    async def away_twice(channel: str, message: dict[str, Any]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:
            raise ConnectionError("Redis is away")
        await send(channel, message)

    monkeypatch.setattr(channel_layers["queue"], "send", away_twice)
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
    await stream.events(_WAIT_S)
    await world.kill_workers()
    world.situation = ModelSituation(has_worker=True)
    await until(lambda: not stream.owner)
    await stream.aclose()
    looks = world.looks
    await until(lambda: world.looks > looks or not world.client._streams)
    assert world.client._streams == {}


@pytest.fixture
def gate() -> Iterator[Gate]:
    """What holds every step of a GatedBackend."""
    gate = Gate()
    yield gate
    gate.open()
