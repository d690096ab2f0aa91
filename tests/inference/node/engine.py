"""A supervisor that a test steps, with fake worker processes."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from inference import services
from inference.models import EngineNode, Worker
from inference.node import worker_rows
from inference.node.supervisor import Supervisor
from inference.worker.node_pipe import Drain, WorkerReport, WorkerSpec
from registry.models import Attachment, Kind, Model
from tests.factories import make_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.node.children.spawning import Spawn
    from inference.node.claimed_worker import ClaimedWorker


class FakeProcess:
    """A worker process that a test controls."""

    made: list[FakeProcess]

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        on_change: Callable[[], None],
        on_activity: Callable[[], None],
        spawn: Spawn,
    ) -> None:
        self.spec = spec
        self.on_change, self.on_activity = on_change, on_activity
        self.report = WorkerReport(state="loading")
        self.started_at = time.monotonic()
        self.ready_at: float | None = None
        self.silent_s = 0.0
        self.pid = os.getpid()
        self.is_running = True
        #: The commands to drain, in their order.
        self.drains: list[Drain] = []
        self.drained_for_s = 0.0
        self.load_seconds = 1.5
        FakeProcess.made.append(self)

    async def start(self) -> None: ...

    @property
    def is_draining(self) -> bool:
        return bool(self.drains)

    @property
    def has_to_end_now(self) -> bool:
        return any(command.is_now for command in self.drains)

    async def drain(self, command: Drain | None = None) -> None:
        command = command or Drain()
        if not self.drains or (command.is_now and not self.has_to_end_now):
            self.drains.append(command)
            self.drained_for_s = 0.0

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
    """A supervisor that reads the rows only when a test steps it."""

    def __init__(self) -> None:
        self.supervisor = Supervisor()
        #: What a check of a load finds, by the model's name.
        self.load_errors: dict[str, str] = {}

    async def start(self) -> None:
        node = await sync_to_async(worker_rows.node_register)()
        self.supervisor._node = node

    def worker(self, row: Worker) -> ClaimedWorker:
        return self.supervisor._workers[row.pk]

    async def look(self) -> None:
        await self.supervisor.reconcile()


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


async def limit(engine: Engine, **fields: int) -> None:
    """Set what this machine may load."""
    await EngineNode.objects.aupdate(**fields)
    engine.supervisor._node = await EngineNode.objects.aget()


async def pinned(name: str) -> None:
    await Model.objects.filter(name=name).aupdate(is_pinned=True)


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


async def attach(name: str, adapter: str) -> None:
    def write() -> None:
        row = make_model(adapter, kind=Kind.LORA, file_size=2**20)
        Attachment.objects.create(model=Model.objects.get(name=name), adapter=row)

    await sync_to_async(write)()
