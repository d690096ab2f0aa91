"""The supervisor's decisions, one look at the rows at a time, with fake processes."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from inference import services
from inference.capacity.load_plan import load_plan
from inference.capacity.machine import Machine
from inference.capacity.model_rows import load_spec
from inference.engine.telemetry import Telemetry
from inference.metrics import telemetry_store
from inference.models import EngineNode, Worker, WorkerState
from inference.node import worker_rows, worker_starter, worker_watcher
from inference.node.supervisor import Supervisor
from inference.worker.pipe import WorkerReport, WorkerSpec
from registry.models import Attachment, Kind, Model
from tests.configuration import changed
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.node.claimed_worker import ClaimedWorker

pytestmark = pytest.mark.django_db(transaction=True)


class FakeProcess:
    """A worker process that does what the test says."""

    made: list[FakeProcess]

    def __init__(self, spec: WorkerSpec, *, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.report = WorkerReport(state="loading")
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self.heard_at = time.monotonic()
        self.pid = os.getpid()
        self.is_running = True
        self.is_draining = False
        self.drained_for_s = 0.0
        self.load_seconds = 1.5
        FakeProcess.made.append(self)

    async def start(self) -> None: ...

    async def drain(self) -> None:
        self.is_draining = True

    def kill(self) -> None:
        self.is_running = False

    async def close(self) -> None:
        self.is_running = False

    def death(self) -> str:
        return self.report.error or "The worker was killed by SIGKILL."

    def become(self, **report: Any) -> None:
        self.report = replace(self.report, **report)
        if report.get("state") == "ready":
            self.ready_at = time.monotonic()


class Engine:
    """A supervisor that looks when the test tells it to."""

    def __init__(self) -> None:
        self.supervisor = Supervisor()

    async def start(self) -> None:
        node = await sync_to_async(worker_rows.node_register)()
        self.supervisor._node = node

    def worker(self, row: Worker) -> ClaimedWorker:
        return self.supervisor._workers[row.pk]

    async def look(self) -> None:
        await self.supervisor.reconcile()


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    FakeProcess.made = []
    monkeypatch.setattr(worker_starter, "WorkerProcess", FakeProcess)
    monkeypatch.setattr(worker_watcher, "resident_memory", lambda _pid: 2**20)
    engine = Engine()
    await engine.start()
    return engine


#: A context that takes nearly no memory and does not grow.
FIXED = {"n_ctx": 512, "n_seq_max": 4}


def small(name: str, **overrides: Any) -> Model:
    """Save a model of some 200 MiB."""
    return make_model(
        name,
        file_size=100 * 2**20,
        kv_elements_per_token=100,
        embedding_length=64,
        vocab_size=1000,
        **overrides,
    )


async def load(engine: Engine, name: str, **overrides: Any) -> FakeProcess:
    """Load a small model."""
    model = await sync_to_async(small)(name, **overrides)
    await request_load(model)
    await engine.look()
    process = FakeProcess.made[-1]
    assert process.spec.model_name == name
    process.become(state="ready", n_ctx=512, n_seq_max=4)
    # As if it had served for a while.
    process.ready_at = time.monotonic() - 10
    await engine.look()
    return process


async def request_load(model: Model) -> None:
    await sync_to_async(services.worker_request)(model=model)


async def row(name: str) -> Worker:
    return await Worker.objects.select_related("node").aget(model__name=name)


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


async def test_a_worker_that_does_not_drain_in_time_is_killed(engine: Engine) -> None:
    process = await load(engine, "m")
    await sync_to_async(services.worker_release)(
        model=await Model.objects.aget(name="m")
    )
    process.drained_for_s = 1e6
    await engine.look()
    assert not process.is_running


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
    process.heard_at -= 60
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


async def limit(engine: Engine, **fields: int) -> None:
    """Set what this machine may load."""
    await EngineNode.objects.aupdate(**fields)
    engine.supervisor._node = await EngineNode.objects.aget()


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


def test_the_sample_models_settings_follow_the_configuration(
    settings: Any,
) -> None:
    settings.CONFIG = changed(settings.CONFIG, models__default_ctx=1024)
    plan = load_plan(load_spec(make_model(context_length=512)), Machine())
    assert plan.engine.n_ctx == 512
    other = load_plan(load_spec(make_model()), Machine())
    assert other.engine.n_ctx == 1024
    assert plan.estimate.host.total > 5 * 2**30


async def pinned(name: str) -> None:
    await Model.objects.filter(name=name).aupdate(is_pinned=True)


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


async def test_a_pinned_model_outlives_its_keep_alive(engine: Engine) -> None:
    process = await load(engine, "m", keep_alive=60, is_pinned=True)
    engine.worker(await row("m")).last_used -= 61
    await engine.look()
    assert not process.is_draining
    await Model.objects.aupdate(is_pinned=False)
    await engine.look()
    assert process.is_draining


async def test_a_model_takes_the_memory_that_is_free_before_others_have_to_go(
    engine: Engine,
) -> None:
    """Half of its KV budget does: a context of the requested length, four times."""
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


async def test_a_worker_that_takes_more_than_was_reckoned_counts_as_it_is(
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


async def test_models_to_be_preloaded_are_requested_when_an_engine_starts() -> None:
    await sync_to_async(small)("wanted", is_preloaded=True)
    await sync_to_async(small)("not")
    await sync_to_async(small)("disabled", is_preloaded=True, is_enabled=False)
    await sync_to_async(services.models_preload)()
    assert [w.model.name async for w in Worker.objects.select_related("model")] == [
        "wanted"
    ]


async def test_the_largest_need_of_a_request_is_remembered_for_the_next_load(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    for seen in (5000, 300):
        process.become(n_ctx_seen=seen, n_ctx_max=8192)
        await engine.look()
    model = await Model.objects.aget(name="m")
    assert model.n_ctx_seen == 5000
    assert (await row("m")).n_ctx_max == 8192
    spec = await sync_to_async(load_spec)(model)
    assert spec.context.at_load == 5000


# Replicas ------------------------------------------------------------------------


async def replicas(name: str) -> list[Worker]:
    return [
        worker
        async for worker in Worker.objects.filter(model__name=name).order_by("replica")
    ]


async def ready(engine: Engine) -> FakeProcess:
    """Let the newest process become ready, as if it had served for a while."""
    process = FakeProcess.made[-1]
    process.become(state="ready", n_ctx=512, n_seq_max=4)
    process.ready_at = time.monotonic() - 10
    await engine.look()
    return process


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


async def test_a_spare_replica_makes_room_and_does_not_come_back_at_once(
    engine: Engine,
) -> None:
    await limit(engine, memory_limit=500 * 2**20)
    model = await sync_to_async(small)("m", replicas=2, use_mmap=False, **FIXED)
    await request_load(model)
    await engine.look()
    first = await ready(engine)
    spare = await ready(engine)
    await request_load(await sync_to_async(small)("other", use_mmap=False, **FIXED))
    await engine.look()
    assert spare.is_draining
    assert not first.is_draining
    spare.is_running = False
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
    status = (await sync_to_async(services.serving_statuses)([model.pk]))[model.pk]
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


async def attach(name: str, adapter: str) -> None:
    def write() -> None:
        row = make_model(adapter, kind=Kind.LORA, file_size=2**20)
        Attachment.objects.create(model=Model.objects.get(name=name), adapter=row)

    await sync_to_async(write)()


async def test_a_model_is_loaded_anew_when_it_gets_an_adapter(engine: Engine) -> None:
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


async def test_replicas_are_loaded_anew_one_after_the_other(engine: Engine) -> None:
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
