"""Which requested workers are started, and which others make room for them."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from inference.capacity.load_plan import load_plan
from inference.capacity.machine import Machine
from inference.capacity.model_rows import load_spec
from inference.models import EngineNode, EvictionRecord, Worker, WorkerState
from inference.node import worker_rows, worker_watcher
from registry.models import Model
from tests.configuration import changed
from tests.factories import make_model, make_node
from tests.inference.node.engine import (
    FIXED,
    Engine,
    FakeProcess,
    limit,
    load,
    pinned,
    request_load,
    row,
    small,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_least_recently_used_makes_room(engine: Engine) -> None:
    first = await load(engine, "first")
    second = await load(engine, "second")
    first.become(requests_total=1)
    await engine.look()
    await limit(engine, max_models=2)
    await request_load(await sync_to_async(small)("third"))
    await engine.look()
    assert second.is_draining
    assert not first.is_draining
    assert len(FakeProcess.made) == 2
    second.is_running = False
    await engine.look()
    await engine.look()
    assert FakeProcess.made[-1].spec.model_name == "third"
    assert not await Worker.objects.filter(model__name="second").aexists()
    evictions = EvictionRecord.objects.values_list("model_name", "for_name")
    assert [pair async for pair in evictions] == [("second", "third")]


async def test_models_that_take_turns_all_get_to_serve(engine: Engine) -> None:
    await limit(engine, max_models=1)
    first = await load(engine, "a")
    await request_load(await sync_to_async(small)("b"))
    await engine.look()
    assert first.is_draining
    # Requests for the first one still wait, so it is requested again.
    await request_load(await Model.objects.aget(name="a"))
    first.is_running = False
    await engine.look()
    await engine.look()
    second = FakeProcess.made[-1]
    assert second.spec.model_name == "b"
    await engine.look()
    assert not second.is_draining
    second.become(state="ready")
    await engine.look()
    assert not second.is_draining
    second.ready_at = time.monotonic() - 10
    await engine.look()
    assert second.is_draining


async def test_a_model_that_can_never_fit_is_refused_with_the_numbers(
    engine: Engine,
) -> None:
    await limit(engine, memory_limit=50 * 2**20)
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert worker.error.startswith("It needs at least 183 MiB (weights 100 MiB, KV ca")
    assert "All models together may take 50.0 MiB (engine.memory_mb)" in worker.error
    assert FakeProcess.made == []


async def test_a_model_that_fits_another_machine_is_left_to_it(engine: Engine) -> None:
    await limit(engine, memory_limit=50 * 2**20)
    await sync_to_async(make_node)("bigger", memory_limit=2**40)
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    assert (await row("m")).state == WorkerState.REQUESTED


async def test_a_process_that_cannot_be_started_fails_its_model_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_memory(_self: FakeProcess) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(FakeProcess, "start", no_memory)
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert "Cannot allocate memory" in worker.error


async def test_of_two_engines_one_gets_the_model(engine: Engine) -> None:
    model = await sync_to_async(small)("m")
    await request_load(model)
    other = await sync_to_async(make_node)("other")
    worker = await row("m")
    plan = load_plan(await sync_to_async(load_spec)(model), Machine())

    @sync_to_async
    def claim(node: EngineNode, incarnation: str) -> bool:
        return worker_rows.claim(worker, node, plan, incarnation)

    assert await claim(other, "a")
    assert not await claim(await EngineNode.objects.aget(pid=os.getpid()), "b")
    await engine.look()
    assert FakeProcess.made == []


async def test_a_pinned_model_is_never_unloaded_to_make_room(engine: Engine) -> None:
    first = await load(engine, "first")
    second = await load(engine, "second")
    await pinned("first")
    await engine.look()
    await limit(engine, max_models=2)
    await request_load(await sync_to_async(small)("third"))
    await engine.look()
    assert second.is_draining
    assert not first.is_draining


async def test_beside_pinned_models_that_fill_the_machine_a_load_is_refused(
    engine: Engine,
) -> None:
    await load(engine, "first")
    await pinned("first")
    await engine.look()
    await limit(engine, memory_limit=300 * 2**20)
    await request_load(await sync_to_async(small)("second"))
    await engine.look()
    worker = await row("second")
    assert worker.state == WorkerState.FAILED
    assert "pinned models use: first 1" in worker.error
    await limit(engine, max_models=1, memory_limit=2**40)
    await request_load(await Model.objects.aget(name="second"))
    await engine.look()
    assert "are pinned: first" in (await row("second")).error


async def test_a_model_takes_the_memory_that_is_free_before_others_have_to_go(
    engine: Engine, settings: Any
) -> None:
    """Half of its KV budget does: a context of the requested length, four times."""
    settings.CONFIG = changed(settings.CONFIG, models__default_ctx=4096)
    first = await load(engine, "first", **FIXED)
    large = await sync_to_async(make_model)(
        "large", file_size=2**20, kv_elements_per_token=40_000
    )
    await limit(engine, memory_limit=2200 * 2**20)
    await request_load(large)
    await engine.look()
    assert not first.is_draining
    plan = FakeProcess.made[-1].spec.engine
    assert (plan.n_ctx, plan.kv_layout) == (4096, "split")
    assert 4 <= plan.n_seq_max < 6
    await request_load(await sync_to_async(small)("other", **FIXED))
    await engine.look()
    assert first.is_draining


async def test_a_worker_that_takes_more_than_estimated_counts_as_it_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await load(engine, "first")
    await limit(engine, memory_limit=500 * 2**20)
    monkeypatch.setattr(worker_watcher, "resident_memory", lambda _pid: 400 * 2**20)
    await engine.look()
    await request_load(await sync_to_async(small)("second"))
    await engine.look()
    assert first.is_draining


async def test_settings_that_exclude_each_other_fail_the_load_with_the_reason(
    engine: Engine,
) -> None:
    await request_load(
        await sync_to_async(small)("m", cache_type_v="q4_0", flash_attention="off")
    )
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert "only with flash attention" in worker.error


async def test_a_model_that_cannot_be_loaded_evicts_nothing(engine: Engine) -> None:
    await limit(engine, max_models=1)
    healthy = await load(engine, "healthy")
    engine.load_errors["broken"] = "unknown model architecture: 'x'"
    await request_load(await sync_to_async(small)("broken"))
    for _ in range(3):
        await engine.look()
    assert not healthy.is_draining
    assert len(FakeProcess.made) == 1
    worker = await row("broken")
    assert worker.state == WorkerState.FAILED
    assert worker.error == "unknown model architecture: 'x'"
