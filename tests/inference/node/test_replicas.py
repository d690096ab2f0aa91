"""Several workers of one model: loaded, evicted, idle and unloaded together."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from inference import services, serving
from inference.models import WorkerState
from inference.node import worker_watcher
from registry.models import Attachment
from tests.inference.node.engine import (
    FIXED,
    Engine,
    FakeProcess,
    attach,
    limit,
    load,
    ready,
    replicas,
    request_load,
    row,
    small,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_replicas_are_loaded_once_the_first_serves(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m", replicas=3))
    await engine.look()
    await engine.look()
    assert len(FakeProcess.made) == 1
    await ready(engine)
    assert len(FakeProcess.made) == 3
    assert [worker.replica for worker in await replicas("m")] == [0, 1, 2]
    queues = {process.spec.queue for process in FakeProcess.made}
    assert len(queues) == 1


async def test_as_many_replicas_run_as_fit_and_the_rest_says_so(
    engine: Engine,
) -> None:
    other = await load(engine, "other", **FIXED)
    await limit(engine, memory_limit=600 * 2**20)
    model = await sync_to_async(small)("m", replicas=3, use_mmap=False, **FIXED)
    await request_load(model)
    await engine.look()
    await ready(engine)
    await engine.look()
    assert not other.is_draining
    assert len(FakeProcess.made) == 3
    first, *rest = await replicas("m")
    assert first.state == WorkerState.READY
    assert [worker.state for worker in rest] == ["loading", "requested"]
    assert "Waiting for memory: it needs 18" in rest[1].error


async def test_replicas_share_the_memory_of_a_mapped_file(engine: Engine) -> None:
    await limit(engine, memory_limit=300 * 2**20)
    await request_load(await sync_to_async(small)("m", replicas=2, **FIXED))
    await engine.look()
    await ready(engine)
    assert len(FakeProcess.made) == 2


async def test_an_extra_replica_makes_room_and_does_not_come_back_at_once(
    engine: Engine,
) -> None:
    await limit(engine, memory_limit=500 * 2**20)
    model = await sync_to_async(small)("m", replicas=2, use_mmap=False, **FIXED)
    await request_load(model)
    await engine.look()
    first = await ready(engine)
    extra = await ready(engine)
    await request_load(await sync_to_async(small)("other", use_mmap=False, **FIXED))
    await engine.look()
    assert extra.is_draining
    assert not first.is_draining
    extra.is_running = False
    await engine.look()
    await engine.look()
    assert FakeProcess.made[-1].spec.model_name == "other"
    await ready(engine)
    await engine.look()
    assert len(FakeProcess.made) == 3
    assert [w.state for w in await replicas("m")] == ["ready", "requested"]


async def test_unloading_concerns_all_replicas(engine: Engine) -> None:
    await limit(engine, memory_limit=300 * 2**20)
    model = await sync_to_async(small)("m", replicas=2, use_mmap=False)
    await request_load(model)
    await engine.look()
    process = await ready(engine)
    assert len(await replicas("m")) == 2
    await sync_to_async(services.worker_release)(model=model)
    await engine.look()
    assert process.is_draining
    process.is_running = False
    await engine.look()
    assert await replicas("m") == []


async def test_replicas_are_idle_together(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m", replicas=2, keep_alive=60))
    await engine.look()
    first = await ready(engine)
    second = await ready(engine)
    rows = await replicas("m")
    engine.worker(rows[1]).last_used -= 61
    await engine.look()
    assert not second.is_draining
    engine.worker(rows[0]).last_used -= 61
    await engine.look()
    assert first.is_draining
    assert second.is_draining


async def test_fewer_replicas_than_before_let_the_last_ones_go(engine: Engine) -> None:
    model = await sync_to_async(small)("m", replicas=2)
    await request_load(model)
    await engine.look()
    first = await ready(engine)
    second = await ready(engine)
    model.replicas = 1
    await sync_to_async(services.replicas_adjust)(model=model)
    await engine.look()
    assert second.is_draining
    assert not first.is_draining
    model.replicas = 3
    await sync_to_async(services.replicas_adjust)(model=model)
    await engine.look()
    assert [w.replica for w in await replicas("m")] == [0, 1, 2]


async def test_no_replica_is_tried_after_the_first_one_failed(engine: Engine) -> None:
    model = await sync_to_async(small)("m", replicas=2)
    await request_load(model)
    await engine.look()
    FakeProcess.made[0].become(state="failed", error="bad magic")
    FakeProcess.made[0].is_running = False
    await engine.look()
    await engine.look()
    assert len(FakeProcess.made) == 1
    assert [w.state for w in await replicas("m")] == [WorkerState.FAILED]
    status = (await sync_to_async(serving.serving_statuses)([model.pk]))[model.pk]
    assert "bad magic" in status.error


async def test_the_queue_counts_with_the_first_replica(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def depth(_model_id: int) -> int:
        return 5

    monkeypatch.setattr(worker_watcher, "queue_depth", depth)
    await request_load(await sync_to_async(small)("m", replicas=2))
    await engine.look()
    await ready(engine)
    await ready(engine)
    await engine.look()
    assert [worker.waiting for worker in await replicas("m")] == [5, 0]


async def test_a_model_is_reloaded_when_it_gets_an_adapter(engine: Engine) -> None:
    first = await load(engine, "a")
    assert first.spec.engine.adapters == ()
    await attach("a", "pirate")
    await engine.look()
    assert first.is_draining
    assert (await row("a")).is_desired, "what waits there goes on in the next worker"
    first.is_running = False
    await engine.look()
    await engine.look()
    second = FakeProcess.made[-1]
    assert second is not first
    assert [each.name for each in second.spec.engine.adapters] == ["pirate"]
    second.become(state="ready")
    await engine.look()
    assert not second.is_draining
    await sync_to_async(Attachment.objects.all().delete)()
    await engine.look()
    assert second.is_draining


async def test_replicas_are_reloaded_one_after_the_other(engine: Engine) -> None:
    await load(engine, "a", replicas=2)
    await engine.look()
    first, second = FakeProcess.made
    second.become(state="ready")
    await engine.look()
    await attach("a", "pirate")
    await engine.look()
    assert [first.is_draining, second.is_draining] == [True, False]
    first.become(state="draining")
    await engine.look()
    assert not second.is_draining
