"""The engine process of a node: starts and stops workers until they match the rows.

It never imports llama.cpp: a model that crashes ends only its own worker process. It
reads the rows every second and whenever it is woken, and acts on the difference, so a
lost message delays it by a second at most.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from channels.layers import channel_layers
from django.conf import settings
from django.db import DatabaseError

from inference.models import WorkerState
from inference.node import worker_rows
from inference.node.machine_probe import machine_probe
from inference.node.models_watch import ModelsWatch
from inference.node.worker_starter import WorkerStarter
from inference.node.worker_watcher import WorkerWatcher
from inference.services import ENGINE_GROUP, models_preload
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from inference.models import EngineNode
    from inference.node.claimed_worker import ClaimedWorker

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_HEARTBEAT_EVERY_S = 2.0


class Supervisor:
    """Runs one node: a loop over the rows, a heartbeat and a listener."""

    def __init__(self) -> None:
        self._workers: dict[int, ClaimedWorker] = {}
        self._look = asyncio.Event()
        self._stopping = asyncio.Event()
        self._watcher = WorkerWatcher(self._workers, self._look.set)
        self._starter = WorkerStarter(self._workers, self._look.set)
        self._node: EngineNode | None = None

    def stop(self) -> None:
        """Drain every worker, then leave ``run``. A second call kills them."""
        if self._stopping.is_set():
            for worker in self._workers.values():
                worker.process.kill()
        self._stopping.set()
        self._look.set()

    async def run(self) -> None:
        """Serve until stopped. Raises NodeTaken."""
        machine = await machine_probe()
        self._node = await in_one_thread(worker_rows.node_register, machine)
        logger.info("Engine on %s is ready", self._node.name)
        await in_one_thread(models_preload)
        tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._beat()),
        ]
        if settings.CONFIG.models.watch:
            tasks.append(asyncio.create_task(ModelsWatch().run()))
        try:
            while not self._stopping.is_set():
                self._look.clear()
                try:
                    await self.reconcile()
                except Exception:
                    # Most likely the database: the workers continue without it.
                    logger.exception("Reading the rows failed")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
            await self._leave()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self) -> None:
        """Compare rows and processes once, and act on each difference."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        rows = await in_one_thread(worker_rows.rows_of, self._node)
        by_id = await self._watcher.own_rows(rows, self._node)
        for row_id in list(self._workers):
            await self._watcher.check(self._workers[row_id], by_id.get(row_id))
        for row in rows:
            if row.pk not in self._workers and row.state == WorkerState.REQUESTED:
                try:
                    await self._starter.try_start(row, self._node)
                except Exception:
                    # One model that cannot be started must not stop the others.
                    logger.exception("%s could not be started", row.model)

    async def _listen(self) -> None:
        """Wake the loop when another process says that rows changed."""
        layer = channel_layers["default"]
        while True:
            try:
                channel = await layer.new_channel("engine.")
                await layer.group_add(ENGINE_GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._look.set()
            except Exception:
                logger.warning(
                    "Redis cannot be reached; reading the rows once a second",
                    exc_info=True,
                )
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _beat(self) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        while True:
            try:
                await in_one_thread(worker_rows.node_beat, self._node)
            except Exception:
                logger.exception("The heartbeat could not be written")
            await asyncio.sleep(_HEARTBEAT_EVERY_S)

    async def _leave(self) -> None:
        """Drain and end all workers, and give the rows back."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        workers = list(self._workers.values())
        for worker in workers:
            await worker.process.drain()
            if worker.process.report.state == "loading":
                worker.process.kill()
        limit = time.monotonic() + settings.CONFIG.engine.drain_timeout
        while any(w.process.is_running for w in workers) and time.monotonic() < limit:
            self._look.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
        for worker in workers:
            await worker.process.close()
        with suppress(DatabaseError):
            await in_one_thread(worker_rows.node_stop, self._node)
