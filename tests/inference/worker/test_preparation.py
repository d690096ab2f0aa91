"""Requests that are slow to prepare delay their own key, and nobody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from inference.engine import EngineCore, SamplingParams
from inference.errors import RequestRejected
from inference.worker import preparation
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import WAIT_S, World, collect, text_of, until

if TYPE_CHECKING:
    from inference.engine import GenerationRequest
    from inference.engine.sequence import Arrival
    from inference.transport.stream import Stream
    from inference.worker.queue.server import QueueServer

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

SLOW = SamplingParams(dry_multiplier=0.8)


class SlowBackend(FakeBackend):
    """A scripted model whose samplers are prepared when the test says so."""

    worker: QueueServer

    def __init__(self) -> None:
        super().__init__(n_seq_max=2, n_ctx=4096)
        self.allowed = threading.Semaphore(0)
        self.begun: list[str] = []
        self.held: set[str] = set()
        self.most_held = 0

    def prepare(self, request_id: str, params: SamplingParams) -> None:
        self.begun.append(request_id)
        assert self.allowed.acquire(timeout=WAIT_S)
        self.held.add(request_id)
        self.most_held = max(self.most_held, len(self.held))

    def release(self, request_id: str) -> None:
        self.held.discard(request_id)


@pytest.fixture
async def backend(world: World) -> SlowBackend:
    made = SlowBackend()
    made.script("go", "abc")
    made.worker = world.start_worker(made)
    return made


async def slow(world: World, key: str = "greedy") -> Stream:
    return await world.submit("go", key, params=SLOW)


async def test_another_keys_request_does_not_wait_for_slow_ones(
    world: World, backend: SlowBackend
) -> None:
    greedy = [await slow(world) for _ in range(10)]
    await until(lambda: bool(backend.begun))

    assert text_of(await collect(await world.submit("go", "quiet"))) == "abc"

    backend.allowed.release(10)
    for stream in greedy:
        assert text_of(await collect(stream)) == "abc"


async def test_one_key_prepares_one_request_at_a_time_in_the_order_of_arrival(
    world: World, backend: SlowBackend
) -> None:
    greedy = [await slow(world) for _ in range(3)]
    await until(lambda: bool(backend.begun))

    other = await slow(world, "other")
    await until(lambda: other.request_id in backend.begun)

    assert backend.begun == [greedy[0].request_id, other.request_id]
    backend.allowed.release(4)
    for stream in [*greedy, other]:
        await collect(stream)
    assert [each for each in backend.begun if each != other.request_id] == [
        stream.request_id for stream in greedy
    ]


async def test_a_slow_request_is_not_taken_for_lost(
    world: World, backend: SlowBackend
) -> None:
    stream = await slow(world)
    first_id = stream.request_id
    looks = world.looks
    # The watch looks every 0.05 s here, and calls a request lost after 0.3.
    await until(lambda: world.looks >= looks + 12)

    backend.allowed.release(2)
    assert text_of(await collect(stream)) == "abc"
    assert stream.request_id == first_id
    assert backend.begun == [first_id]


async def test_the_engine_learns_how_many_of_a_key_are_yet_to_be_prepared(
    world: World, backend: SlowBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind: list[int] = []
    add = EngineCore.add

    def count(core: EngineCore, request: GenerationRequest, arrival: Arrival) -> None:
        behind.append(arrival.num_behind)
        add(core, request, arrival)

    monkeypatch.setattr(EngineCore, "add", count)
    streams = [await slow(world) for _ in range(5)]
    await until(lambda: backend.worker.model.num_pending == 5)
    backend.allowed.release(5)

    for stream in streams:
        await collect(stream)
    assert behind == [4, 3, 2, 1, 0]


async def test_a_request_that_is_given_up_is_not_prepared(
    world: World, backend: SlowBackend
) -> None:
    first, second = await slow(world), await slow(world)
    await until(lambda: bool(backend.begun and second.control))

    await second.aclose()
    await until(lambda: backend.worker.model.num_pending == 1)
    backend.allowed.release(2)

    await collect(first)
    last = await slow(world)
    await collect(last)
    assert backend.begun == [first.request_id, last.request_id]


async def test_a_preparation_that_takes_too_long_is_refused_and_frees_its_place(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "LIMIT_S", 0.2)
    backend = SlowBackend()
    backend.script("go", "abc")
    world.start_worker(backend)
    stuck = [await slow(world, key) for key in ("a", "b")]

    for stream in stuck:
        with pytest.raises(RequestRejected, match="s to prepare"):
            await collect(stream)
    # However busy the machine is.
    monkeypatch.setattr(preparation, "LIMIT_S", WAIT_S)
    third = await slow(world, "c")
    await until(lambda: third.request_id in backend.begun)
    backend.allowed.release(3)

    assert text_of(await collect(third)) == "abc"
    await until(lambda: not backend.held)


async def test_few_waiting_requests_hold_their_samplers_and_none_that_has_ended(
    world: World, backend: SlowBackend
) -> None:
    streams = [await slow(world) for _ in range(20)]
    backend.allowed.release(20)

    for stream in streams:
        assert text_of(await collect(stream)) == "abc"

    # Two run, four wait.
    assert backend.most_held <= 2 + 4
    await until(lambda: not backend.held)


async def test_a_draining_worker_releases_what_it_has_not_prepared(
    world: World, backend: SlowBackend
) -> None:
    streams = [await slow(world) for _ in range(3)]
    await until(lambda: bool(backend.begun and streams[2].control))
    second = SlowBackend()
    second.script("go", "abc")
    second.allowed.release(3)

    backend.worker.drain()
    world.start_worker(second, "life-2")

    for stream in streams:
        assert text_of(await collect(stream)) == "abc"
    backend.allowed.release(1)
