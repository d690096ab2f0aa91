"""What runs and waits now, and how an administrator ends it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.accounting.running import running_request
from inference.api.streaming.token_counts import TokenCounts
from inference.engine.output import PrefillProgress
from inference.errors import RequestCancelled
from inference.transport.messages.running import CurrentRequest, LineOfWorker, RunState
from inference.transport.running import now as now_module
from inference.transport.running.now import cancel_running, placed, running_now
from inference.transport.running.tracking import TrackedRequest, running_requests
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference.transport.stream import Stream
    from tests.inference.world import Gate, World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)

ABOUT: dict[str, Any] = {
    "request_id": "r",
    "endpoint": "chat-completions",
    "client_address": "",
    "time": 0.0,
    "model_id": 7,
}


@pytest.fixture(autouse=True)
def _ask_each_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(now_module, "_ASK_EVERY_S", 0)
    yield
    for request in list(running_requests._by_id):
        running_requests.remove(request)


async def start(
    world: World, id_: str, prompt: str, arrived_at: float = 0.0, **more: Any
) -> Stream:
    """Submit a request as the API does, so that it can be found and ended."""
    tracked = TrackedRequest(
        id_,
        lambda streams: running_request(
            id_, {**ABOUT, "time": arrived_at}, streams, TokenCounts(), None
        ),
    )
    running_requests.add(tracked)
    request = (await world.submit(prompt, **more)).request
    streams: list[Stream] = [
        stream for stream in world.client._streams if stream.request is request
    ]
    tracked._streams.extend(streams)
    return streams[0]


async def states() -> dict[str, tuple[str, int | None]]:
    """Return the state and the place of each request."""
    now = await running_now()
    assert now.silent == 0
    return {each.request.id: (each.request.state, each.place) for each in now.requests}


async def test_states_and_places_come_from_those_who_have_the_requests(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate, n_seq_max=1)
    for letter in "abcd":
        backend.script(letter, letter * 3000)
    world.start_worker(backend)
    first = await start(world, "1", "a", arrived_at=1)

    def runs() -> bool:
        gate.allow(1)
        return bool(first.tokens)

    await until(runs)
    # Of the same key, the lower number of a priority starts first.
    second = await start(world, "2", "b", arrived_at=2, priority=5)
    third = await start(world, "3", "c", arrived_at=3, priority=1)
    await until(lambda: second.was_accepted and third.was_accepted)
    assert await states() == {
        "1": (RunState.DECODES, 0),
        "2": (RunState.WAITS, 2),
        "3": (RunState.WAITS, 1),
    }


async def test_a_prefill_says_how_much_of_the_prompt_is_computed(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate, n_seq_max=1)
    prompt = "p" * 100
    backend.script(prompt, "x" * 3000)
    world.start_worker(backend)
    stream = await start(world, "1", prompt)

    async def share() -> float | None:
        (only,) = (await running_now()).requests
        return only.prefill

    # Two steps of sixteen tokens.
    gate.allow(2)
    async with asyncio.timeout(60):
        while not (found := await share()):
            await asyncio.sleep(0.01)
    assert found in (0.16, 0.32)
    gate.open()
    await until(lambda: bool(stream.tokens))
    assert await share() is None


async def test_what_no_worker_has_yet_is_in_line_by_its_arrival(world: World) -> None:
    for number in (1, 2):
        await start(world, str(number), "a", arrived_at=number)
    assert await states() == {"1": (RunState.WAITS, 1), "2": (RunState.WAITS, 2)}


async def test_a_cancelled_request_frees_its_place_within_a_step(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate, n_seq_max=1)
    backend.script("a", "a" * 3000)
    backend.script("b", "b")
    worker = world.start_worker(backend)
    running = await start(world, "1", "a")

    def runs() -> bool:
        gate.allow(1)
        return bool(running.tokens)

    await until(runs)
    waiting = await start(world, "2", "b")
    await until(lambda: waiting.was_accepted)

    assert await cancel_running("1", by="root")
    with pytest.raises(RequestCancelled, match="The administrator 'root' cancelled"):
        await collect(running)
    await until(lambda: len(worker.model._accepted) == 1)
    computed = backend.computed().count("a")
    gate.open()
    assert text_of(await collect(waiting)) == "b"
    # The step that was under way is all that it got.
    assert backend.computed().count("a") <= computed + 1


async def test_a_waiting_request_is_cancelled_wherever_it_waits(world: World) -> None:
    queued = await start(world, "1", "a")
    assert await cancel_running("1", by="root")
    with pytest.raises(RequestCancelled):
        await collect(queued)
    backend = FakeBackend()
    backend.script("b", "done")
    worker = world.start_worker(backend)
    assert text_of(await collect(await world.submit("b"))) == "done"
    assert not worker.model._accepted


async def test_what_is_not_here_is_not_cancelled(world: World) -> None:
    other = await start(world, "1", "a")
    assert not await cancel_running("2", by="root")
    assert not other.is_done


async def test_a_sequence_that_is_submitted_after_the_cancel_fails(
    world: World,
) -> None:
    tracked = TrackedRequest("1", lambda streams: pytest.fail("nobody asks"))
    await tracked.cancel("root")
    request = (await world.submit("a")).request
    with pytest.raises(RequestCancelled):
        await tracked.through(world.client).submit(request, world.queue())
    assert request.request_id not in [s.request_id for s in world.client._streams]


def waiting(id_: str, *, at: float, in_line: bool) -> CurrentRequest:
    streams: list[Any] = []
    about = {**ABOUT, "time": at}
    request = running_request(id_, about, streams, TokenCounts(), None)
    fields = {name: getattr(request, name) for name in CurrentRequest.__slots__}
    return CurrentRequest(**fields | {"in_line": in_line, "waiting": (f"s{id_}",)})


def test_the_queue_is_behind_the_lines_of_the_workers() -> None:
    requests = [
        waiting("3", at=3, in_line=False),
        waiting("1", at=1, in_line=True),
        waiting("2", at=2, in_line=True),
    ]
    lines = [LineOfWorker("queue.7", ("s2", "s1"))]
    assert [(each.request.id, each.place) for each in placed(requests, lines)] == [
        ("1", 2),
        ("2", 1),
        ("3", 3),
    ]


def test_a_request_has_one_place_before_its_web_process_has_heard_of_its_worker() -> (
    None
):
    requests = [
        waiting("1", at=1, in_line=False),
        waiting("2", at=2, in_line=False),
        waiting("3", at=3, in_line=False),
    ]
    computes = (PrefillProgress("s2", 10, 20),)
    lines = [LineOfWorker("queue.7", ("s1",), computes)]
    assert [each.place for each in placed(requests, lines)] == [1, None, 2]


def test_a_worker_that_does_not_answer_leaves_the_place_open() -> None:
    (only,) = placed([waiting("1", at=1, in_line=True)], [])
    assert only.place is None
