"""What an administrator's order does to the workers of a node."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from inference import services
from inference.models import StopOrder, Worker, WorkerState
from inference.worker.node_pipe import Drain
from registry.models import Model
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    ready,
    replicas,
    request_load,
    row,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def unload(name: str, *, is_now: bool = False) -> None:
    model = await Model.objects.aget(name=name)
    await sync_to_async(services.worker_release)(model=model, by="alice", is_now=is_now)


async def reload(name: str, *, is_now: bool = False) -> None:
    model = await Model.objects.aget(name=name)
    await sync_to_async(services.worker_reload)(model=model, by="alice", is_now=is_now)


async def end(engine: Engine, process: FakeProcess) -> None:
    """Let a draining process exit."""
    assert process.is_draining
    process.is_running = False
    await engine.look()


@pytest.mark.parametrize("is_now", [False, True])
async def test_the_worker_hears_who_unloads_it_and_whether_it_may_finish(
    engine: Engine, is_now: bool
) -> None:
    process = await load(engine, "m")
    await unload("m", is_now=is_now)
    await engine.look()
    message = "The model 'm' was unloaded by alice, which ended this request."
    assert process.drains == [Drain(is_now, "model_unloaded", message)]
    await end(engine, process)
    assert not await Worker.objects.aexists()


async def test_unload_now_may_follow_while_running_requests_are_finished(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    await unload("m")
    await engine.look()
    await unload("m", is_now=True)
    await engine.look()
    assert [command.is_now for command in process.drains] == [False, True]


async def test_an_unload_holds_even_if_a_new_request_comes_before_the_node_looks(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    await unload("m", is_now=True)
    await request_load(await Model.objects.aget(name="m"))
    await engine.look()
    assert process.has_to_end_now
    await end(engine, process)
    await engine.look()
    second = await ready(engine)
    assert second is not process
    await engine.look()
    assert not second.is_draining


async def test_a_disabled_model_is_unloaded_after_its_requests(engine: Engine) -> None:
    process = await load(engine, "m")
    # Whatever writes the column: the admin, a script, another program.
    await Model.objects.aupdate(is_enabled=False)
    await engine.look()
    (command,) = process.drains
    assert (command.is_now, command.code) == (False, "model_disabled")
    await end(engine, process)
    assert not await Worker.objects.aexists()


async def test_a_disabled_model_is_not_loaded(engine: Engine) -> None:
    process = await load(engine, "m")
    await unload("m")
    await engine.look()
    await end(engine, process)
    await request_load(await Model.objects.aget(name="m"))
    await Model.objects.aupdate(is_enabled=False)
    await engine.look()
    assert len(FakeProcess.made) == 1


async def test_a_reload_loads_the_model_again_with_what_is_saved(
    engine: Engine,
) -> None:
    process = await load(engine, "m", n_ctx=512)
    await Model.objects.aupdate(n_ctx=1024)
    await reload("m")
    await engine.look()
    assert process.drains == [Drain()]
    assert (await row("m")).is_desired
    await end(engine, process)
    await engine.look()
    second = await ready(engine)
    assert (process.spec.engine.n_ctx, second.spec.engine.n_ctx) == (512, 1024)
    await engine.look()
    assert not second.is_draining


async def test_a_reload_takes_the_replicas_in_turn_unless_it_is_now(
    engine: Engine,
) -> None:
    first = await load(engine, "m", n_ctx=512, n_seq_max=4, replicas=2)
    await engine.look()
    second = await ready(engine)
    assert len(await replicas("m")) == 2
    await reload("m")
    await engine.look()
    assert [first.is_draining, second.is_draining].count(True) == 1
    await reload("m", is_now=True)
    await engine.look()
    assert first.has_to_end_now
    assert second.has_to_end_now


async def test_a_model_that_is_not_loaded_is_not_reloaded(engine: Engine) -> None:
    process = await load(engine, "m")
    await unload("m")
    await engine.look()
    await end(engine, process)
    await reload("m")
    order = await StopOrder.objects.aget()
    assert order.action == StopOrder.Action.UNLOAD
    assert not await Worker.objects.filter(state=WorkerState.REQUESTED).aexists()


async def test_a_load_with_settings_of_its_own_starts_a_worker_with_them(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    before = process.spec.engine
    model = await Model.objects.aget(name="m")
    config = {"n_ctx": 256, "n_batch": 64, "n_ubatch": 64}
    await sync_to_async(services.worker_load)(model=model, config=config)
    await engine.look()
    await end(engine, process)
    await engine.look()
    second = await ready(engine)
    loaded = second.spec.engine
    assert (loaded.n_ctx, loaded.n_batch, loaded.n_ubatch) == (256, 64, 64)
    assert (before.n_ctx, before.n_batch) != (256, 64)
    await engine.look()
    assert not second.is_draining
    assert (await Worker.objects.aget()).loaded_settings["n_ctx"] == 256
    await model.arefresh_from_db()
    assert model.n_ctx is None
