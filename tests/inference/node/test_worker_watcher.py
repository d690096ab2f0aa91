"""What happens to loaded workers: drains, crashes, hangs, idle time, reports."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from inference import services
from inference.capacity.model_rows import load_spec
from inference.engine.telemetry import Telemetry
from inference.metrics import telemetry_store
from inference.models import EngineNode, Worker, WorkerState
from inference.node import worker_rows
from inference.node.silence.own_beats import DEAF_AFTER_S, OwnBeats
from registry.models import Model
from tests.fakes import Clock
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    request_load,
    row,
    small,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_release_drains_first_and_forgets_then(engine: Engine) -> None:
    process = await load(engine, "m")
    process.become(running=2)
    await sync_to_async(services.worker_release)(
        model=await Model.objects.aget(name="m")
    )
    await engine.look()
    assert process.is_draining
    assert process.is_running
    process.become(state="draining")
    await engine.look()
    assert (await row("m")).state == WorkerState.DRAINING
    process.is_running = False
    await engine.look()
    assert not await Worker.objects.aexists()


async def test_a_worker_that_does_not_drain_in_time_is_ended_and_then_killed(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    await sync_to_async(services.worker_release)(
        model=await Model.objects.aget(name="m"), by="alice"
    )
    await engine.look()
    process.drained_for_s = 1e6
    await engine.look()
    assert process.is_running
    first, second = process.drains
    assert (first.is_now, second.is_now) == (False, True)
    assert second.code == "model_unloaded"
    assert "did not finish within 60 s (engine.drain_timeout)" in second.message
    process.drained_for_s = 6
    await engine.look()
    assert not process.is_running


@pytest.mark.parametrize("is_deaf", [False, True])
async def test_a_freed_row_is_taken_back_unless_the_node_does_not_hear_redis(
    engine: Engine, *, is_deaf: bool
) -> None:
    process = await load(engine, "m")
    clock = Clock()
    beats = engine.supervisor._own_beats = OwnBeats(clock)
    clock.now += DEAF_AFTER_S + 1
    if not is_deaf:
        beats.hear()
    await Worker.objects.aupdate(node=None, state=WorkerState.REQUESTED, incarnation="")
    await engine.look()
    worker = await row("m")
    assert (worker.incarnation == process.spec.incarnation) is not is_deaf
    # Nobody reaches it, and another node may claim the row.
    assert process.is_draining is is_deaf


async def test_a_worker_that_dies_in_service_is_started_again(engine: Engine) -> None:
    process = await load(engine, "m")
    process.is_running = False
    await engine.look()
    await engine.look()
    assert len(FakeProcess.made) == 2
    worker = await row("m")
    assert (worker.state, worker.restarts) == (WorkerState.LOADING, 1)
    assert worker.incarnation == FakeProcess.made[1].spec.incarnation
    assert worker.incarnation != process.spec.incarnation


async def test_a_worker_that_keeps_dying_is_given_up(engine: Engine) -> None:
    await load(engine, "m")
    for _ in range(3):
        process = FakeProcess.made[-1]
        process.become(state="ready")
        await engine.look()
        process.is_running = False
        await engine.look()
        await engine.look()
    assert len(FakeProcess.made) == 3
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert "SIGKILL" in worker.error


async def test_a_load_that_fails_shows_llama_cpps_reason(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    process = FakeProcess.made[0]
    process.become(state="failed", error="unknown model architecture: 'x'")
    process.is_running = False
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert worker.error == "unknown model architecture: 'x'"
    assert worker.failed_at is not None
    await engine.look()
    assert len(FakeProcess.made) == 1


async def test_a_worker_that_hangs_is_killed_and_started_again(engine: Engine) -> None:
    process = await load(engine, "m")
    process.silent_s = 60
    for _ in range(3):
        await engine.look()
    assert not process.is_running
    assert len(FakeProcess.made) == 2


async def test_a_load_that_takes_too_long_is_given_up(engine: Engine) -> None:
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    FakeProcess.made[0].started_at -= 10_000
    await engine.look()
    await engine.look()
    worker = await row("m")
    assert worker.state == WorkerState.FAILED
    assert "engine.load_timeout" in worker.error


async def test_an_idle_model_is_unloaded_after_its_keep_alive(engine: Engine) -> None:
    process = await load(engine, "m", keep_alive=60)
    await engine.look()
    assert not process.is_draining
    engine.worker(await row("m")).last_used -= 61
    process.become(running=1)
    await engine.look()
    assert not process.is_draining
    process.become(running=0)
    engine.worker(await row("m")).last_used -= 61
    await engine.look()
    assert process.is_draining


async def test_a_pinned_model_outlives_its_keep_alive(engine: Engine) -> None:
    process = await load(engine, "m", keep_alive=60, is_pinned=True)
    engine.worker(await row("m")).last_used -= 61
    await engine.look()
    assert not process.is_draining
    await Model.objects.aupdate(is_pinned=False)
    await engine.look()
    assert process.is_draining


async def test_a_worker_that_fails_in_service_is_not_shown_as_failed_to_load(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    process.become(state="failed", error="The engine loop failed")
    await engine.look()
    assert (await row("m")).state == WorkerState.READY
    process.is_running = False
    await engine.look()
    assert (await row("m")).state != WorkerState.FAILED


async def test_what_a_worker_measures_is_kept_for_the_web_processes(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    telemetry = Telemetry(n_ctx=512)
    telemetry.preempted()
    process.become(telemetry=telemetry.snapshot(), running=1)
    await engine.look()
    life = process.spec.incarnation
    assert telemetry_store.load([life]) == {life: telemetry.snapshot()}


async def test_without_redis_a_workers_row_is_kept_up(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise RedisConnectionError("connection refused")

    monkeypatch.setattr(telemetry_store, "save", fail)
    process = await load(engine, "m")
    process.become(telemetry=Telemetry().snapshot(), running=3)
    await engine.look()
    assert (await row("m")).running == 3


async def test_the_largest_need_of_a_request_is_remembered_for_the_next_load(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    for seen in (9000, 300):
        process.become(n_ctx_seen=seen, n_ctx_max=16384)
        await engine.look()
    model = await Model.objects.aget(name="m")
    assert model.n_ctx_seen == 9000
    assert (await row("m")).n_ctx_max == 16384
    spec = await sync_to_async(load_spec)(model)
    assert spec.context.at_load == 9000


async def test_a_model_whose_worker_hung_again_and_again_is_not_shown_as_failed(
    engine: Engine,
) -> None:
    await load(engine, "m")
    for _ in range(5):
        FakeProcess.made[-1].become(state="ready")
        FakeProcess.made[-1].silent_s = 60
        for _ in range(3):
            await engine.look()
    assert (await row("m")).state == WorkerState.LOADING
    assert len(FakeProcess.made) == 6


async def test_a_worker_that_loads_may_be_silent_while_it_reads(
    engine: Engine,
) -> None:
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    process = FakeProcess.made[0]
    process.silent_s = 60
    await engine.look()
    assert process.is_running


async def test_an_engine_that_stood_still_keeps_its_own_workers(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    await EngineNode.objects.aupdate(heartbeat_at=long_ago())
    await engine.look()
    assert not process.is_draining
    assert (await row("m")).state == WorkerState.READY


async def test_a_row_that_another_node_freed_is_taken_back(engine: Engine) -> None:
    process = await load(engine, "m")
    await EngineNode.objects.aupdate(heartbeat_at=long_ago())
    other = await EngineNode.objects.acreate(
        name="other", pid=1, started_at=long_ago(), heartbeat_at=long_ago()
    )
    await sync_to_async(worker_rows.rows_of)(other)
    assert (await row("m")).node is None
    await engine.look()
    await engine.look()
    assert not process.is_draining
    worker = await row("m")
    assert worker.state == WorkerState.READY
    assert worker.incarnation == process.spec.incarnation


async def test_a_row_that_another_node_claimed_is_the_others(engine: Engine) -> None:
    process = await load(engine, "m")
    other = await EngineNode.objects.acreate(
        name="other", pid=1, started_at=long_ago(), heartbeat_at=timezone.now()
    )
    await Worker.objects.aupdate(node=other, incarnation="another")
    await engine.look()
    assert process.is_draining


def long_ago() -> datetime:
    return timezone.now() - timedelta(minutes=5)


async def test_what_a_model_has_served_survives_a_load(engine: Engine) -> None:
    process = await load(engine, "m")
    process.become(requests_total=3, prompt_tokens_total=123, output_tokens_total=40)
    await engine.look()
    model = await Model.objects.aget(name="m")
    await sync_to_async(services.worker_release)(model=model)
    await engine.look()
    # It serves until the end, and its last report says so.
    process.become(requests_total=4, prompt_tokens_total=150, output_tokens_total=50)
    process.is_running = False
    await engine.look()
    assert not await Worker.objects.aexists()

    await request_load(model)
    await engine.look()
    second = FakeProcess.made[-1]
    second.become(state="ready", requests_total=1, prompt_tokens_total=10)
    await engine.look()
    worker = await row("m")
    assert (
        worker.requests_total,
        worker.prompt_tokens_total,
        worker.output_tokens_total,
    ) == (5, 160, 50)


async def test_a_model_that_was_deleted_keeps_no_totals(engine: Engine) -> None:
    process = await load(engine, "m")
    process.become(requests_total=3)
    await Model.objects.all().adelete()
    for _ in range(2):
        await engine.look()
        process.is_running = False
    assert not engine.supervisor._workers
