"""A worker that Redis no longer brings, while it brings another one of the model."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer
from django.conf import settings

from inference.engine import SamplingParams
from inference.node.silence.silent_workers import SILENT_BEATS
from inference.transport import stream_watch
from inference.transport.messages.peers import WorkerHeartbeat
from inference.transport.queue import PATIENCE_S
from inference.transport.worker_heartbeats import WorkerHeartbeats
from tests.inference.world import WAIT_S, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from inference.transport.messages.commands import Renew
    from tests.inference.world import Gate, World

TEXT = "0123456789" * 5


class Network:
    """The channel layer of one worker, which may be cut off."""

    is_cut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(channel_layers["default"], name)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if not self.is_cut:
            await channel_layers["default"].send(channel, message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if not self.is_cut:
            await channel_layers["default"].group_send(group, message)


class Cable:
    """A way to Redis for a queue; once it is cut nothing comes through, or ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        config: Any = settings.CHANNEL_LAYERS["queue"]["CONFIG"]
        self.layer = RedisChannelLayer(
            **{**config, "hosts": [{"address": f"unix://{path}"}]}
        )

    def cut(self) -> None:
        self._is_whole.clear()

    @contextlib.asynccontextmanager
    async def plugged(self) -> AsyncIterator[Cable]:
        async with await asyncio.start_unix_server(self._carry, self._path):
            try:
                yield self
            finally:
                self._is_whole.set()
                await self.layer.close_pools()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        redis = settings.REDIS_HOST["address"].removeprefix("unix://")
        answers, asked = await asyncio.open_unix_connection(redis)
        await asyncio.gather(
            self._carry_one_way(reader, asked), self._carry_one_way(answers, writer)
        )

    async def _carry_one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                await self._is_whole.wait()
                writer.write(data)
        writer.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.worker.queue.work_stealing._HEARTBEAT_EVERY_S", 0.05)
    monkeypatch.setattr(stream_watch, "_SILENT_AFTER_S", 0.3)


@pytest.mark.django_db(transaction=True)
async def test_a_stream_of_a_worker_that_is_cut_off_goes_on_in_another_one(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network()
    send = world.client._command

    async def command(control: str, command: Renew) -> None:
        if not network.is_cut:
            await send(control, command)

    monkeypatch.setattr(world.client, "_command", command)
    first = GatedBackend(gate)
    first.script("go", TEXT)
    world.start_worker(first, "life-1", reply_layer=network)
    stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
    gate.allow(7)
    await until(lambda: len(stream.tokens) == 7)

    second = GatedBackend(gate)
    second.script("go", TEXT)
    world.start_worker(second, "life-2")
    channel = stream.queue.channel
    await until(lambda: len(world.client._heartbeats.serving(channel)) == 2)
    # The rows say all the while that both serve.
    network.is_cut = True
    await until(lambda: stream.worker == "life-2")
    gate.open()
    # What the first one says later belongs to nobody.
    network.is_cut = False
    assert text_of(await collect(stream)) == TEXT
    # Nothing crashed.
    assert stream.attempts == 0


@pytest.mark.django_db(transaction=True)
async def test_a_worker_that_is_cut_off_is_given_no_request_soon_after(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("inference.worker.queue.server.PATIENCE_S", 0.1)
    async with Cable(str(tmp_path / "redis")).plugged() as cable:
        first = GatedBackend(gate)
        world.start_worker(first, "life-1", queue_layer=cable.layer)
        # It waits at the queue of all workers and at its own one.
        await until_waited_for(2)
        cable.cut()
        await until_waited_for(1)

        second = GatedBackend(gate)
        second.script("go", TEXT)
        world.start_worker(second, "life-2")
        gate.open()
        stream = await world.submit("go", params=SamplingParams(max_tokens=len(TEXT)))
        assert text_of(await collect(stream)) == TEXT
        assert stream.worker == "life-2"
        # It was not lost on the way.
        assert not stream.was_detached
        await world.kill_workers()


def test_no_request_is_given_to_a_worker_that_counts_as_gone() -> None:
    # A beat is a second.
    assert PATIENCE_S < SILENT_BEATS


def test_a_worker_is_unreachable_once_another_one_was_heard_again_and_again() -> None:
    heartbeats = WorkerHeartbeats(None)
    hear(heartbeats, "a", "b", "a", "a", "a")
    assert not heartbeats.is_unreachable("queue.1", "b")
    hear(heartbeats, "a")
    assert heartbeats.is_unreachable("queue.1", "b")
    assert not heartbeats.is_unreachable("queue.1", "a")
    hear(heartbeats, "b")
    assert not heartbeats.is_unreachable("queue.1", "b")


def test_many_others_do_not_make_a_worker_unreachable_sooner() -> None:
    heartbeats = WorkerHeartbeats(None)
    hear(heartbeats, "late", *"abcdefgh", *"abcdefgh")
    assert not heartbeats.is_unreachable("queue.1", "late")


def test_while_nobody_is_heard_nobody_is_unreachable() -> None:
    heartbeats = WorkerHeartbeats(None)
    hear(heartbeats, "a")
    assert not heartbeats.is_unreachable("queue.1", "a")
    assert not heartbeats.is_unreachable("queue.1", "never heard")
    assert not heartbeats.is_unreachable("queue.2", "a")


async def until_waited_for(queues: int) -> None:
    """Wait until workers wait at so many queues, as far as Redis knows."""
    redis = channel_layers["queue"].connection(0)
    async with asyncio.timeout(WAIT_S):
        while True:
            clients = await redis.client_list()
            waiting = [each for each in clients if "b" in each["flags"]]
            if sum(each["cmd"] == "bzpopmin" for each in waiting) == queues:
                return
            await asyncio.sleep(0.01)


def hear(heartbeats: WorkerHeartbeats, *incarnations: str) -> None:
    for each in incarnations:
        heartbeats.put(WorkerHeartbeat("queue.1", each, f"control.{each}", 0))
