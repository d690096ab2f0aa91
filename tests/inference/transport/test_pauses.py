"""Pauses: a worker or a web process that is silent for a while and comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers
from django.db import OperationalError

from inference.engine import SamplingParams
from inference.errors import EngineUnavailable
from inference.transport.messages.peers import WorkerHeartbeat
from inference.transport.worker_heartbeats import WorkerHeartbeats
from tests.fakes import Clock
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from inference.serving import ServingStatus
    from inference.transport.messages.commands import Renew
    from inference.worker.queue.server import QueueServer
    from tests.inference.world import Gate, World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "0123456789" * 5


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.transport.frame_sender.LEASE_BEATS", 4)
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 0.05)


@pytest.fixture
def silence(world: World, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While this list is not empty, the web process renews no lease."""
    silent: list[bool] = []
    send = world.client._command

    async def command(control: str, command: Renew) -> None:
        if not silent:
            await send(control, command)

    monkeypatch.setattr(world.client, "_command", command)
    return silent


def has_line(worker: QueueServer) -> bool:
    return bool(worker._replies._frames._lines)


async def test_streams_of_a_web_process_whose_lease_ended_continue_where_they_were(
    world: World, gate: Gate, silence: list[bool]
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", TEXT)
    worker = world.start_worker(backend)
    stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
    gate.allow(7)
    await until(lambda: len(stream.tokens) == 7)
    silence.append(True)
    await until(lambda: not has_line(worker))
    silence.clear()
    await until(lambda: stream.request.resume != ())  # type: ignore[union-attr]
    gate.open()
    assert text_of(await collect(stream)) == TEXT
    # A pause is no crash.
    assert stream.attempts == 0


async def test_a_worker_whose_redis_stands_still_ends_no_lease(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch, silence: list[bool]
) -> None:
    class Standing:
        """A channel layer that carries nothing of the worker's."""

        stands = False

        def __getattr__(self, name: str) -> Any:
            return getattr(channel_layers["default"], name)

        async def send(self, channel: str, message: dict[str, Any]) -> None:
            if not self.stands:
                await channel_layers["default"].send(channel, message)

    layer = Standing()
    backend = GatedBackend(gate)
    backend.script("go", TEXT)
    worker = world.start_worker(backend, reply_layer=layer)
    stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
    gate.allow(7)
    await until(lambda: len(stream.tokens) == 7)
    layer.stands = True
    silence.append(True)
    looks = world.looks
    await until(lambda: world.looks > looks + 10)
    assert has_line(worker)
    layer.stands = False
    silence.clear()
    gate.open()
    assert text_of(await collect(stream)) == TEXT
    assert stream.request.resume == ()  # type: ignore[union-attr]


async def test_a_worker_that_the_web_process_forgot_answers_the_next_request(
    world: World,
) -> None:
    backend = FakeBackend(n_ctx=4096)
    backend.script("go", TEXT)
    worker = world.start_worker(backend)
    for _ in range(3):
        assert text_of(await collect(await world.submit("go"))) == TEXT
    (line,) = worker._replies._frames._lines.values()
    # The first frames are no longer kept.
    for _ in range(line.seq - 1):
        line.sent.popleft()
    world.client._receiver.forget("life-1")
    assert text_of(await collect(await world.submit("go"))) == TEXT


async def test_a_broken_line_is_mended_without_a_stream_on_it(
    world: World,
) -> None:
    backend = FakeBackend(n_ctx=4096)
    backend.script("go", TEXT)
    worker = world.start_worker(backend)
    assert text_of(await collect(await world.submit("go"))) == TEXT
    receiver = world.client._receiver
    line = receiver._lines["life-1"]
    line.give_up()
    assert receiver.unsettled()
    await until(lambda: not receiver.unsettled())
    assert has_line(worker)
    assert text_of(await collect(await world.submit("go"))) == TEXT


async def test_a_request_that_the_worker_lost_is_queued_again(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", TEXT)
    worker = world.start_worker(backend)
    stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
    gate.allow(3)
    await until(lambda: len(stream.tokens) == 3)
    worker.model.cancel([stream.request_id])
    await until(lambda: stream.request.resume != ())  # type: ignore[union-attr]
    gate.open()
    assert text_of(await collect(stream)) == TEXT


async def test_a_closed_request_leaves_the_worker_though_its_abort_is_lost(
    world: World, gate: Gate, silence: list[bool]
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", "x" * 3000)
    backend.script("on", "y" * 3000)
    worker = world.start_worker(backend)
    other = await world.submit("on")
    stream = await world.submit("go")
    # The first alone would take all of these steps.
    await until(lambda: len(worker.model._accepted) == 2)
    gate.allow(9)
    await until(lambda: stream.is_started and other.is_started)
    silence.append(True)
    await stream.aclose()
    silence.clear()
    await until(lambda: len(worker.model._accepted) == 1)
    await other.aclose()


async def test_a_worker_that_says_that_it_serves_counts_as_serving(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[frozenset[str]] = []

    async def no_engine(
        model_id: int, says: frozenset[str] = frozenset(), *, by: str = ""
    ) -> bool:
        heard.append(says)
        if not says:
            raise EngineUnavailable("No engine is running.")
        return True

    monkeypatch.setattr("inference.services.ensure_worker", no_engine)
    backend = FakeBackend(n_ctx=4096)
    backend.script("go", TEXT)
    world.start_worker(backend)
    assert text_of(await collect(await world.submit("go"))) == TEXT
    assert heard[0] == frozenset()
    assert heard[1] == frozenset({"life-1"})


async def test_an_unreadable_database_hides_no_worker_that_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: Any, **by: str) -> bool:
        raise OperationalError("database is locked")

    def unreadable_statuses(*_: Any) -> dict[int, ServingStatus]:
        raise OperationalError("database is locked")

    monkeypatch.setattr("inference.services.ensure_worker", unreadable)
    monkeypatch.setattr("inference.serving.serving_statuses", unreadable_statuses)
    backend = FakeBackend(n_ctx=4096)
    backend.script("go", TEXT)
    world.start_worker(backend)
    assert text_of(await collect(await world.submit("go"))) == TEXT


async def test_where_nothing_is_known_the_error_names_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(*_: Any, **by: str) -> bool:
        raise OperationalError("database is locked")

    monkeypatch.setattr("inference.services.ensure_worker", unreadable)
    with pytest.raises(EngineUnavailable, match="The database cannot be read") as e:
        await world.submit("go")
    assert e.value.retry_after


def test_a_heartbeat_counts_for_five_seconds() -> None:
    clock = Clock()
    heartbeats = WorkerHeartbeats(None, clock=clock)
    heartbeats.put(WorkerHeartbeat("queue.1", "life-1", "control", 0))
    clock.now += 4.9
    assert heartbeats.serving("queue.1") == {"life-1"}
    clock.now += 0.2
    assert heartbeats.serving("queue.1") == frozenset()


def test_a_new_worker_is_noticed_once_and_its_beginning_is_kept() -> None:
    begun: list[str] = []
    heartbeats = WorkerHeartbeats(None, on_begin=lambda: begun.append("new"))
    assert not heartbeats.began_at("queue.1")
    for incarnation in ("life-1", "life-1", "life-2", "life-1"):
        heartbeats.put(WorkerHeartbeat("queue.1", incarnation, "control", 0))
    assert begun == ["new", "new"]
    assert heartbeats.began_at("queue.1") <= time.time()
    assert not heartbeats.began_at("queue.2")


async def test_a_worker_says_at_once_that_it_serves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 3600)
    backend = FakeBackend()
    backend.script("go", TEXT)
    stream = await world.submit("go")
    world.start_worker(backend)
    assert text_of(await collect(stream)) == TEXT
    channel = stream.queue.channel
    await until(lambda: bool(world.client._heartbeats.serving(channel)))


async def test_a_request_that_a_dead_worker_took_goes_to_the_next_one_when_that_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.transport.stream_watch._LOST_AFTER_S", 3600)
    stream = await world.submit("go")
    # As a worker does that is killed when it has just taken it.
    await channel_layers["queue"].receive(stream.queue.channel)
    backend = FakeBackend()
    backend.script("go", TEXT)
    world.start_worker(backend)
    assert text_of(await collect(stream)) == TEXT


async def test_requests_of_a_web_process_that_died_are_dropped_within_some_beats(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate)
    backend.script("go", TEXT)
    worker = world.start_worker(backend)
    stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
    gate.allow(3)
    await until(lambda: len(stream.tokens) == 3)
    # As when its process dies: Redis sees its connection end.
    await world.client.aclose()
    layer = channel_layers["default"]
    await layer._get_shard(world.client._reply_to).unsubscribe(world.client._reply_to)
    gate.open()
    await until(lambda: not has_line(worker))
    await until(lambda: not len(worker.model._accepted))
