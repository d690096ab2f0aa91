"""The life of a node: it loads what rows request, takes over, and preloads."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import InterfaceError
from django.utils import timezone

from inference import services
from inference.capacity.load_plan import load_plan
from inference.capacity.machine import Machine
from inference.capacity.model_rows import load_spec
from inference.engine_messages import ENGINE_WAKE
from inference.models import EngineNode, Worker, WorkerState
from inference.node import supervisor, worker_rows
from inference.node.children.command_process import CommandProcess
from inference.node.silence.calm import Calm
from tests.configuration import changed
from tests.factories import make_model, make_node, make_worker
from tests.fakes import Clock
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    request_load,
    row,
    small,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_requested_model_is_loaded_and_shows_progress(
    engine: Engine,
) -> None:
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    FakeProcess.made[0].become(progress=0.4)
    await engine.look()
    worker = await row("m")
    assert (worker.state, worker.progress) == (WorkerState.LOADING, 0.4)
    FakeProcess.made[0].become(state="ready", n_ctx=4096, n_seq_max=8)
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.READY
    assert (worker.n_ctx, worker.n_seq_max, worker.load_seconds) == (4096, 8, 1.5)
    assert worker.incarnation == FakeProcess.made[0].spec.incarnation
    assert worker.memory_bytes > 0


async def test_the_models_own_settings_reach_the_worker(engine: Engine) -> None:
    settings = {
        "n_ctx": 512,
        "n_seq_max": 3,
        "cache_type_k": "q8_0",
        "cache_type_v": "q4_0",
        "flash_attention": "on",
        "swa_full": True,
        "n_batch": 256,
        "n_ubatch": 64,
        "n_threads": 3,
        "n_threads_batch": 5,
        "numa": "isolate",
        "use_mmap": False,
        "use_mlock": True,
        "n_gpu_layers": 7,
        "split_mode": "none",
        "main_gpu": 2,
        "shares_prefixes": True,
        "draft": "lookup",
    }
    process = await load(engine, "m", **settings)
    config = asdict(process.spec.engine)
    assert {name: config[name] for name in settings} == settings
    assert (config["kv_layout"], config["n_ctx_max"]) == ("split", 512)
    split = await load(engine, "n", split_mode="row", tensor_split="3, 1")
    assert split.spec.engine.tensor_split == (3.0, 1.0)


async def test_a_new_engine_takes_over_what_a_killed_one_left(engine: Engine) -> None:
    name = engine.supervisor._node.name if engine.supervisor._node else ""
    await EngineNode.objects.all().adelete()
    node = await sync_to_async(make_node)(name, pid=2**22 - 1)
    await sync_to_async(make_worker)(
        await sync_to_async(make_model)("wanted"), node, incarnation="old", pid=99
    )
    await sync_to_async(make_worker)(
        await sync_to_async(make_model)("unwanted"), node, is_desired=False
    )
    await engine.start()
    worker = await Worker.objects.select_related("model").aget()
    assert worker.model.name == "wanted"
    assert (worker.state, worker.node_id, worker.incarnation) == ("requested", None, "")


async def test_the_models_of_a_dead_machine_are_loaded_elsewhere(
    engine: Engine,
) -> None:
    dead = await sync_to_async(make_node)("dead")
    model = await sync_to_async(small)("m")
    await sync_to_async(make_worker)(model, dead, incarnation="old")
    await engine.look()
    assert FakeProcess.made == []
    long_ago = timezone.now() - timedelta(minutes=1)
    await EngineNode.objects.filter(pk=dead.pk).aupdate(heartbeat_at=long_ago)
    await engine.look()
    assert FakeProcess.made[0].spec.model_name == "m"
    # The dead one comes back and reports: the row is not its own any more.
    await sync_to_async(worker_rows.worker_ended)((await row("m")).pk, "old")
    assert (await row("m")).incarnation == FakeProcess.made[0].spec.incarnation


def test_the_sample_models_settings_follow_the_configuration(
    settings: Any,
) -> None:
    settings.CONFIG = changed(settings.CONFIG, models__default_ctx=1024)
    plan = load_plan(load_spec(make_model(context_length=512)), Machine())
    assert plan.engine.n_ctx == 512
    other = load_plan(load_spec(make_model()), Machine())
    assert other.engine.n_ctx == 1024
    assert plan.estimate.host.total > 5 * 2**30


async def test_models_to_be_preloaded_are_requested_when_an_engine_starts() -> None:
    await sync_to_async(small)("wanted", is_preloaded=True)
    await sync_to_async(small)("not")
    await sync_to_async(small)("disabled", is_preloaded=True, is_enabled=False)
    await sync_to_async(services.models_preload)()
    assert [w.model.name async for w in Worker.objects.select_related("model")] == [
        "wanted"
    ]


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Look without waiting, and start no process that nobody has asked for."""
    monkeypatch.setattr(supervisor, "_LOOK_EVERY_S", 0.01)
    settings.CONFIG = changed(
        settings.CONFIG, models__watch=False, server__spare_processes=False
    )


@pytest.mark.usefixtures("quick_looks")
async def test_an_error_of_context_tests_does_not_end_the_engine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def fail(process: CommandProcess) -> None:
        nonlocal looks
        if process.command != "run_context_tests":
            return
        looks += 1
        if looks == 3:
            engine.supervisor.stop()
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(CommandProcess, "look_after", fail)
    await asyncio.wait_for(engine.supervisor.run(Machine()), 30)
    assert looks == 3


class OwnLayer:
    """A channel layer that keeps what is sent. ``failures`` come first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def group_add(self, _group: str, _channel: str) -> None: ...

    async def send(self, _channel: str, message: dict[str, Any]) -> None:
        if self.failures:
            raise self.failures.pop()
        await self.sent.put(message)


@pytest.mark.usefixtures("quick_looks")
async def test_beats_go_on_whatever_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the models of a dead node would never be loaded elsewhere."""
    layer = OwnLayer(RuntimeError("from the layer"))
    monkeypatch.setattr(supervisor, "channel_layers", {"default": layer})
    model, other = await sync_to_async(small)("m"), await sync_to_async(make_node)("o")
    await sync_to_async(make_worker)(model, other, incarnation="theirs")
    hearing = asyncio.create_task(engine.supervisor._hear_others("here"))
    try:
        async with asyncio.timeout(30):
            await layer.sent.get()

            def fail(_node: EngineNode) -> dict[str, str]:
                raise InterfaceError("connection already closed")

            monkeypatch.setattr(worker_rows, "workers_elsewhere", fail)
            for _ in range(layer.sent.qsize() + 3):
                await layer.sent.get()
        assert not hearing.done()
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


@pytest.fixture
async def pause(engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
    """The pause of a node that serves one model, and on which nothing goes on."""
    await load(engine, "m")
    clock = Clock()
    engine.supervisor._calm = Calm(clock)
    engine.supervisor._calm.is_alone = True
    clock.now += 3600
    task = asyncio.create_task(engine.supervisor._pause())
    await is_over(task)
    yield task
    task.cancel()


async def is_over(task: asyncio.Task[None]) -> bool:
    """Return whether a task has ended, once it has taken what came."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


async def test_requests_that_come_and_go_do_not_make_a_node_look_at_once(
    engine: Engine, pause: asyncio.Task[None]
) -> None:
    rest = engine.supervisor._calm.look_in_s
    FakeProcess.made[0].become(running=3)
    FakeProcess.made[0].on_activity()
    assert not await is_over(pause)
    # But it writes them with its next heartbeat.
    assert engine.supervisor._calm.look_in_s < rest
    engine.supervisor._take({"type": ENGINE_WAKE})
    assert await is_over(pause)
    assert engine.supervisor._calm.look_in_s == 1


async def test_a_worker_that_ends_or_has_another_state_is_looked_at_at_once(
    pause: asyncio.Task[None],
) -> None:
    FakeProcess.made[0].become(state="draining")
    FakeProcess.made[0].on_change()
    assert await is_over(pause)


async def test_a_load_that_waits_for_memory_hears_at_once_that_requests_end(
    engine: Engine, pause: asyncio.Task[None]
) -> None:
    engine.supervisor._is_awaited = True
    FakeProcess.made[0].on_activity()
    assert await is_over(pause)


@pytest.mark.parametrize(("most", "look_in_s"), [(1, 3), (2, 1)])
async def test_a_busy_model_with_a_choice_of_replicas_is_looked_at_every_second(
    engine: Engine, most: int, look_in_s: float
) -> None:
    process = await load(engine, "m", replicas_max=most)
    process.become(running=1)
    clock = Clock()
    clock.now = 3.0
    engine.supervisor._calm = Calm(clock)
    clock.now = 3600
    await engine.look()
    await engine.supervisor._scale()
    assert engine.supervisor._calm.look_in_s == look_in_s


async def test_while_workers_only_serve_reports_are_written_and_no_row_is_read(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await load(engine, "m")
    supervised = engine.supervisor
    clock = Clock()
    supervised._calm = Calm(clock)
    assert not supervised._is_brief
    clock.now += 3600
    assert supervised._is_brief
    process.become(running=3)
    monkeypatch.setattr(worker_rows, "rows_of", None)
    await supervised._write_reports()
    assert (await row("m")).running == 3
    assert not supervised._is_urgent
    # Another node believes that this one is gone.
    await Worker.objects.aupdate(incarnation="theirs")
    await supervised._write_reports()
    assert supervised._is_urgent
    assert not supervised._is_brief


@pytest.mark.parametrize("what", ["awaited", "urgent", "long ago", "loading"])
async def test_rows_are_read_when_anything_else_goes_on(
    engine: Engine, what: str
) -> None:
    process = await load(engine, "m")
    supervised = engine.supervisor
    clock = Clock()
    supervised._calm = Calm(clock)
    clock.now += 3600
    match what:
        case "awaited":
            supervised._is_awaited = True
        case "urgent":
            process.on_change()
        case "long ago":
            supervised._read_at -= 60
        case _:
            process.become(state="loading")
    assert not supervised._is_brief
