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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil
from channels.layers import channel_layers
from django.conf import settings
from django.db import DatabaseError
from redis.exceptions import RedisError

from inference import worker_rows
from inference.models import EngineNode, Worker, WorkerState
from inference.placement import Loaded, place
from inference.services import ENGINE_GROUP, queue_depth
from inference.threads import in_one_thread
from inference.worker_process import WorkerProcess

if TYPE_CHECKING:
    from registry.models import Model

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_BEAT_EVERY_S = 2.0
#: A worker that is silent for this long hangs: its I/O loop reports each second.
_SILENT_AFTER_S = 30.0
#: A worker that dies this soon after it was ready counts towards a crash loop.
_CRASH_WINDOW_S = 30.0
_MAX_CRASHES = 3
#: Time in which a loaded model takes the requests that wait for it, before
#: another may take its place; those that run are finished in any case.
_SERVES_AT_LEAST_S = 2.0


@dataclass(slots=True)
class _Slot:
    """A claimed row and its process."""

    row_id: int
    model: Model
    memory: int
    process: WorkerProcess
    last_used: float
    last_requests: int = 0
    is_saved_ready: bool = False

    @property
    def incarnation(self) -> str:
        return self.process.spec.incarnation

    @property
    def is_fresh(self) -> bool:
        ready_at = self.process.ready_at
        return ready_at is None or time.monotonic() - ready_at < _SERVES_AT_LEAST_S


class Supervisor:
    """One engine node."""

    def __init__(self) -> None:
        self._slots: dict[int, _Slot] = {}
        self._crashes: dict[int, int] = {}
        self._look = asyncio.Event()
        self._stopping = asyncio.Event()
        self._node: EngineNode | None = None

    def stop(self) -> None:
        """Drain every worker, then leave ``run``; a second call does not drain."""
        if self._stopping.is_set():
            for slot in self._slots.values():
                slot.process.kill()
        self._stopping.set()
        self._look.set()

    async def run(self) -> None:
        """Serve until stopped. Raises NodeTaken."""
        self._node = await in_one_thread(worker_rows.node_register)
        logger.info("Engine on %s is ready", self._node.name)
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
        for row_id in list(self._slots):
            await self._tend(self._slots[row_id], by_id.get(row_id))
        for row in rows:
            if row.pk not in self._slots and row.state == WorkerState.REQUESTED:
                try:
                    await self._try_start(row)
                except Exception:
                    # One model that cannot be started must not stop the others.
                    logger.exception("%s could not be started", row.model)

    async def _tend(self, slot: _Slot, row: Worker | None) -> None:
        process = slot.process
        if not process.is_running:
            await self._bury(slot)
            return
        if time.monotonic() - process.heard_at > _SILENT_AFTER_S:
            logger.error("Worker of %s hangs; killing it", slot.model)
            process.kill()
            return
        if self._load_takes_too_long(process):
            process.kill()
            return
        # A row that is gone was deleted with its model.
        if row is None or not row.wanted:
            await process.drain()
            self._kill_after_drain(slot)
        elif await self._is_idle_too_long(slot):
            logger.info("Unloading %s: idle", slot.model)
            await in_one_thread(worker_rows.unwant, slot.row_id)
            await process.drain()
        # What has failed is about to end; then it is said whether it comes back.
        if row is not None and process.report.state != "failed":
            await self._save(slot)

    def _load_takes_too_long(self, process: WorkerProcess) -> bool:
        limit = settings.CONFIG["engine.load_timeout"]
        return (
            process.ready_at is None and time.monotonic() - process.started_at > limit
        )

    def _kill_after_drain(self, slot: _Slot) -> None:
        process = slot.process
        # A model that still loads has no requests to finish.
        if process.report.state == "loading":
            process.kill()
        elif process.drained_for_s > settings.CONFIG["engine.drain_timeout"]:
            logger.warning("Worker of %s did not drain in time", slot.model)
            process.kill()

    async def _is_idle_too_long(self, slot: _Slot) -> bool:
        keep_alive = slot.model.keep_alive
        if keep_alive is None:
            keep_alive = settings.CONFIG["engine.keep_alive"]
        idle = slot.process.report.running == 0 and slot.process.ready_at is not None
        return bool(
            keep_alive and idle and time.monotonic() - slot.last_used > keep_alive
        )

    async def _save(self, slot: _Slot) -> None:
        process = slot.process
        report = process.report
        more: dict[str, Any] = {"pid": process.pid}
        if report.running or report.requests_total != slot.last_requests:
            slot.last_used = time.monotonic()
            slot.last_requests = report.requests_total
            more["last_used_at"] = worker_rows.now()
        if report.state == "ready" and not slot.is_saved_ready:
            slot.is_saved_ready = True
            more["load_seconds"] = process.load_seconds
            logger.info("%s is ready after %.1f s", slot.model, process.load_seconds)
        with suppress(psutil.Error):
            more["memory_bytes"] = psutil.Process(process.pid).memory_info().rss
        with suppress(OSError, RedisError):
            more["waiting"] = report.waiting + await queue_depth(slot.model.pk)
        await in_one_thread(
            worker_rows.save_report, slot.row_id, slot.incarnation, report, **more
        )

    async def _bury(self, slot: _Slot) -> None:
        """Clear up after a process that has ended."""
        process = slot.process
        await process.close()
        del self._slots[slot.row_id]
        if process.is_draining:
            await in_one_thread(worker_rows.worker_ended, slot.row_id, slot.incarnation)
            logger.info("%s is unloaded", slot.model)
            self._look.set()
            return
        logger.error("Worker of %s died: %s", slot.model, process.death())
        lived = time.monotonic() - (process.ready_at or time.monotonic())
        crashes = self._crashes.get(slot.row_id, 0) + 1
        self._crashes[slot.row_id] = 1 if lived > _CRASH_WINDOW_S else crashes
        if process.ready_at is None or self._crashes[slot.row_id] >= _MAX_CRASHES:
            self._crashes.pop(slot.row_id, None)
            await in_one_thread(
                worker_rows.worker_failed,
                slot.row_id,
                slot.incarnation,
                self._death(slot),
            )
        else:
            await in_one_thread(
                worker_rows.worker_crashed, slot.row_id, slot.incarnation
            )
            self._look.set()

    def _death(self, slot: _Slot) -> str:
        if self._load_takes_too_long(slot.process):
            limit = settings.CONFIG["engine.load_timeout"]
            return f"Loading took longer than {limit} s (engine.load_timeout)."
        return slot.process.death()

    # Starting -----------------------------------------------------------------

    async def _try_start(self, row: Worker) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        plan = await in_one_thread(worker_rows.load_plan, row.model)
        decision = place(
            needed=plan.memory,
            memory_limit=self._node.memory_limit,
            max_models=self._node.max_models,
            loaded=[
                Loaded(
                    key=slot.row_id,
                    memory=slot.memory,
                    last_used=slot.last_used,
                    running=slot.process.report.running,
                    is_leaving=slot.process.is_draining,
                    is_fresh=slot.is_fresh,
                )
                for slot in self._slots.values()
            ],
        )
        if decision.refusal:
            is_final = await in_one_thread(
                worker_rows.load_refused,
                row.pk,
                self._node,
                plan.memory,
                decision.refusal,
            )
            if is_final:
                logger.error("%s cannot be loaded: %s", row.model, decision.refusal)
        for row_id in decision.evict:
            slot = self._slots[row_id]
            logger.info("Unloading %s to make room for %s", slot.model, row.model)
            await in_one_thread(worker_rows.unwant, row_id)
            await slot.process.drain()
        if decision.fits_now:
            await self._start(row, plan)

    async def _start(self, row: Worker, plan: worker_rows.LoadPlan) -> None:
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
        self._slots[row.pk] = _Slot(
            row_id=row.pk,
            model=row.model,
            memory=plan.memory,
            process=process,
            last_used=time.monotonic(),
        )
        try:
            await process.start()
        except OSError as error:
            del self._slots[row.pk]
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
        slots = list(self._slots.values())
        for slot in slots:
            await slot.process.drain()
            if slot.process.report.state == "loading":
                slot.process.kill()
        limit = time.monotonic() + settings.CONFIG["engine.drain_timeout"]
        while any(s.process.is_running for s in slots) and time.monotonic() < limit:
            self._look.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
        for slot in slots:
            await slot.process.close()
        with suppress(DatabaseError):
            await in_one_thread(worker_rows.node_stop, self._node)
