"""The engine: makes this machine's workers what the rows wish for.

It never imports llama.cpp: a model that crashes takes its own process down. It
looks at the rows once a second and whenever it is woken, and acts on what it
sees, so a message that was lost costs a second and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
from channels.layers import channel_layers
from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.capacity.placement import place_worker
from inference.metrics import telemetry_store
from inference.models import EngineNode, Worker, WorkerState
from inference.node import worker_rows
from inference.node.claimed_worker import ClaimedWorker, node_capacity, resident_memory
from inference.node.machine_probe import machine_probe
from inference.node.worker_process import WorkerProcess
from inference.services import ENGINE_GROUP, is_served, models_preload, queue_depth
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.capacity.load_plan import LoadPlan
    from registry.load_settings import LoadSettings

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_BEAT_EVERY_S = 2.0
#: A worker that is silent for this long hangs: its I/O loop reports each second.
_SILENT_AFTER_S = 30.0
#: A worker that dies this soon after it was ready counts towards a crash loop.
_CRASH_WINDOW_S = 30.0
_MAX_CRASHES = 3


class Supervisor:
    """One engine node."""

    def __init__(self) -> None:
        self._workers: dict[int, ClaimedWorker] = {}
        self._crashes: dict[int, int] = {}
        self._look = asyncio.Event()
        self._stopping = asyncio.Event()
        self._node: EngineNode | None = None

    def stop(self) -> None:
        """Drain every worker, then leave ``run``; a second call does not drain."""
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
        try:
            while not self._stopping.is_set():
                self._look.clear()
                try:
                    await self.reconcile()
                except Exception:
                    # Whatever fails, the database most likely: the workers go on.
                    logger.exception("A look at the rows failed")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
            await self._leave()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def reconcile(self) -> None:
        """Compare rows and processes once, and act on every difference."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        rows = await in_one_thread(worker_rows.rows_of, self._node)
        by_id = {row.pk: row for row in rows}
        for row_id in list(self._workers):
            await self._tend(self._workers[row_id], by_id.get(row_id))
        for row in rows:
            if row.pk not in self._workers and row.state == WorkerState.REQUESTED:
                try:
                    await self._try_start(row)
                except Exception:
                    # One model that cannot be started must not stop the others.
                    logger.exception("%s could not be started", row.model)

    async def _tend(self, worker: ClaimedWorker, row: Worker | None) -> None:
        process = worker.process
        if not process.is_running:
            await self._bury(worker)
            return
        if time.monotonic() - process.heard_at > _SILENT_AFTER_S:
            logger.error("Worker of %s hangs; killing it", worker.model)
            process.kill()
            return
        if self._load_takes_too_long(process):
            process.kill()
            return
        if row is not None:
            worker.follow(row.model)
        # A row that is gone was deleted with its model.
        if row is None or not row.is_desired or process.is_draining:
            await process.drain()
            self._kill_after_drain(worker)
        elif worker.is_outdated and self._may_reload(worker):
            logger.info("Loading %s anew: it has other adapters now", worker.model)
            # Its row still desires it, so it is claimed again.
            await process.drain()
        elif self._is_idle_too_long(worker):
            logger.info("Unloading %s: idle", worker.model)
            await in_one_thread(worker_rows.unwant, worker.row_id)
            await process.drain()
        # What has failed is about to end; then it is said whether it comes back.
        if row is not None and process.report.state != "failed":
            await self._save(worker)

    def _load_takes_too_long(self, process: WorkerProcess) -> bool:
        limit = settings.CONFIG.engine.load_timeout
        return (
            process.ready_at is None and time.monotonic() - process.started_at > limit
        )

    def _kill_after_drain(self, worker: ClaimedWorker) -> None:
        process = worker.process
        # A model that still loads has no requests to finish.
        if process.report.state == "loading":
            process.kill()
        elif process.drained_for_s > settings.CONFIG.engine.drain_timeout:
            logger.warning("Worker of %s did not drain in time", worker.model)
            process.kill()

    def _is_idle_too_long(self, worker: ClaimedWorker) -> bool:
        """Whether nobody has used the model for its keep-alive: none of its workers."""
        keep_alive = worker.settings.keep_alive
        if worker.settings.is_pinned or not keep_alive:
            return False
        return all(each.is_idle(keep_alive) for each in self._alike(worker))

    def _may_reload(self, worker: ClaimedWorker) -> bool:
        """Whether all workers of the model are there: one at a time is loaded anew."""
        processes = [each.process for each in self._alike(worker)]
        return all(p.report.state == "ready" and not p.is_draining for p in processes)

    def _alike(self, worker: ClaimedWorker) -> list[ClaimedWorker]:
        """Return the workers of the same model, the first of them first."""
        alike = (s for s in self._workers.values() if s.model.pk == worker.model.pk)
        return sorted(alike, key=lambda each: each.replica)

    async def _save(self, worker: ClaimedWorker) -> None:
        process = worker.process
        report = process.report
        more: dict[str, Any] = {"pid": process.pid}
        if report.running or report.requests_total != worker.last_requests:
            worker.last_used = time.monotonic()
            worker.last_requests = report.requests_total
            more["last_used_at"] = worker_rows.now()
        if report.state == "ready" and not worker.is_saved_ready:
            worker.is_saved_ready = True
            more["load_seconds"] = process.load_seconds
            logger.info("%s is ready after %.1f s", worker.model, process.load_seconds)
        with suppress(psutil.Error):
            more["memory_bytes"] = worker.rss = resident_memory(process.pid)
        # The queue is one for all workers of a model: it counts with the first.
        if self._alike(worker)[0] is worker:
            with suppress(OSError, RedisError):
                more["waiting"] = report.waiting + await queue_depth(worker.model.pk)
        if report.telemetry is not None:
            with suppress(OSError, RedisError):
                await asyncio.to_thread(
                    telemetry_store.save, worker.incarnation, report.telemetry
                )
        await in_one_thread(
            worker_rows.save_report, worker.row_id, worker.incarnation, report, **more
        )
        if report.n_ctx_seen > (worker.model.n_ctx_seen or 0):
            await in_one_thread(worker_rows.need_seen, worker.model, report.n_ctx_seen)

    async def _bury(self, worker: ClaimedWorker) -> None:
        """Clear up after a process that has ended."""
        process = worker.process
        await process.close()
        del self._workers[worker.row_id]
        if process.is_draining:
            await in_one_thread(
                worker_rows.worker_ended, worker.row_id, worker.incarnation
            )
            logger.info("%s is unloaded", worker.model)
            self._look.set()
            return
        logger.error("Worker of %s died: %s", worker.model, process.death())
        lived = time.monotonic() - (process.ready_at or time.monotonic())
        crashes = self._crashes.get(worker.row_id, 0) + 1
        self._crashes[worker.row_id] = 1 if lived > _CRASH_WINDOW_S else crashes
        if process.ready_at is None or self._crashes[worker.row_id] >= _MAX_CRASHES:
            self._crashes.pop(worker.row_id, None)
            await in_one_thread(
                worker_rows.worker_failed,
                worker.row_id,
                worker.incarnation,
                self._death(worker),
            )
        else:
            await in_one_thread(
                worker_rows.worker_crashed, worker.row_id, worker.incarnation
            )
            self._look.set()

    def _death(self, worker: ClaimedWorker) -> str:
        if self._load_takes_too_long(worker.process):
            limit = settings.CONFIG.engine.load_timeout
            return f"Loading took longer than {limit} s (engine.load_timeout)."
        return worker.process.death()

    # Starting -----------------------------------------------------------------

    async def _try_start(self, row: Worker) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        if row.replica and not await in_one_thread(is_served, row.model):
            # Several workers are of use once one can load the model at all.
            return
        try:
            spec = load_spec(row.model)
        except InvalidSettings as error:
            await in_one_thread(
                worker_rows.load_refused, row.pk, self._node, None, str(error)
            )
            return
        capacity = node_capacity(self._node, self._workers.values())
        placement = place_worker(
            spec,
            model=row.model.pk,
            is_extra=row.replica > 0,
            capacity=capacity,
        )
        if placement.is_impossible:
            is_final = await in_one_thread(
                worker_rows.load_refused, row.pk, self._node, spec, placement.reason
            )
            if is_final:
                logger.error("%s cannot be loaded: %s", row.model, placement.reason)
        elif placement.reason:
            await in_one_thread(worker_rows.load_waits, row.pk, placement.reason)
        await self._evict(placement.evict, row)
        if placement.plan is not None:
            await self._start(row, spec.settings, placement.plan)

    async def _evict(self, row_ids: Sequence[int], row: Worker) -> None:
        """Drain workers that must make room; a spare one waits to come back."""
        for row_id in row_ids:
            worker = self._workers[row_id]
            logger.info("Unloading %s to make room for %s", worker.model, row.model)
            if all(each.row_id in row_ids for each in self._alike(worker)):
                await in_one_thread(worker_rows.unwant, row_id)
            await worker.process.drain()

    async def _start(
        self, row: Worker, load_settings: LoadSettings, plan: LoadPlan
    ) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        incarnation = uuid.uuid4().hex
        if not await in_one_thread(
            worker_rows.claim, row, self._node, plan, incarnation
        ):
            return
        logger.info("Loading %s", row.model)
        process = WorkerProcess(
            worker_rows.worker_spec(row.model, plan.engine, incarnation),
            on_change=self._look.set,
        )
        self._workers[row.pk] = ClaimedWorker(
            row_id=row.pk,
            replica=row.replica,
            model=row.model,
            settings=load_settings,
            plan=plan,
            process=process,
            last_used=time.monotonic(),
        )
        try:
            await process.start()
        except OSError as error:
            del self._workers[row.pk]
            reason = f"The worker's process cannot be started: {error.strerror}."
            await in_one_thread(worker_rows.worker_failed, row.pk, incarnation, reason)

    # Life ---------------------------------------------------------------------

    async def _listen(self) -> None:
        """Look at the rows when somebody says that they changed."""
        layer = channel_layers["default"]
        while True:
            try:
                channel = await layer.new_channel("engine.")
                await layer.group_add(ENGINE_GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self._look.set()
            except Exception:
                logger.warning("Redis is away; looking once a second", exc_info=True)
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _beat(self) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        while True:
            try:
                await in_one_thread(worker_rows.node_beat, self._node)
            except Exception:
                logger.exception("The heartbeat could not be written")
            await asyncio.sleep(_BEAT_EVERY_S)

    async def _leave(self) -> None:
        """Drain all workers, end them, and give the rows back."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        workers = list(self._workers.values())
        for worker in workers:
            await worker.process.drain()
            if worker.process.report.state == "loading":
                worker.process.kill()
        limit = time.monotonic() + settings.CONFIG.engine.drain_timeout
        while any(s.process.is_running for s in workers) and time.monotonic() < limit:
            self._look.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
        for worker in workers:
            await worker.process.close()
        with suppress(DatabaseError):
            await in_one_thread(worker_rows.node_stop, self._node)
