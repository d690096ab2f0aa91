"""Watches the claimed workers of a node: saves reports, drains, kills, buries."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from redis.exceptions import RedisError

from inference.engine_messages import wake_engines
from inference.metrics import telemetry_store
from inference.node import worker_rows
from inference.node.claimed_worker import (
    counted_memory,
    replicas_of,
    resident_memory,
)
from inference.node.drain_commands import (
    drain_of_node,
    is_reload,
    ordered_drain,
    overdue,
)
from inference.node.totals import totals_save
from inference.transport.queue_depths import queue_depth
from inference.worker.node_pipe import Drain
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.models import EngineNode, NodeDrain, Worker
    from inference.node.children.measured_times import MeasuredTimes
    from inference.node.children.worker_process import WorkerProcess
    from inference.node.claimed_worker import ClaimedWorker
    from inference.node.remote.lost_servers import LostServers

logger = logging.getLogger(__name__)

#: A worker reports every second, so one that is silent for this long hangs.
_SILENT_AFTER_S = 30.0
#: A worker that dies this soon after it was ready counts towards a crash loop.
_CRASH_WINDOW_S = 30.0
_MAX_CRASHES = 3
#: A worker that has nothing to finish exits within this time.
_EXITS_WITHIN_S = 5.0


class WorkerWatcher:
    """Compares each claimed worker with its row, and acts on the difference.

    ``workers`` is the supervisor's dict of claimed workers by row; ``wake`` makes the
    supervisor look at the rows again; what workers have measured goes to ``measured``.
    """

    def __init__(
        self,
        workers: dict[int, ClaimedWorker],
        wake: Callable[[], None],
        lost: LostServers,
        measured: MeasuredTimes,
    ) -> None:
        self._workers = workers
        self._lost = lost
        self._measured = measured
        self._wake = wake
        self._crashes: dict[int, int] = {}
        #: The incarnations that were ended because they hung.
        self._hung: set[str] = set()

    async def own_rows(
        self, rows: Iterable[Worker], node: EngineNode, *, may_reclaim: bool = True
    ) -> dict[int, Worker]:
        """Return the rows of the claimed workers by primary key.

        Another node frees a row whose node is silent for long. If nobody has claimed
        it since, it is taken back: the worker has served all the time. A node that
        does not hear Redis may not: nobody reaches its workers.
        """
        own = {}
        for row in rows:
            worker = self._workers.get(row.pk)
            if worker is None:
                continue
            is_own = row.incarnation == worker.incarnation
            if not is_own and may_reclaim:
                is_own = await in_one_thread(
                    worker_rows.reclaim, row.pk, node, worker.incarnation
                )
            if is_own:
                own[row.pk] = row
        return own

    async def check(
        self, worker: ClaimedWorker, row: Worker | None, drain: NodeDrain | None = None
    ) -> None:
        """Bring one worker closer to its row. The row is None if it was deleted.

        ``drain`` is the order that the node is drained, if there is one.
        """
        process = worker.process
        if not process.is_running:
            await self._bury(worker)
            return
        if _hangs(process):
            logger.error("Worker of %s hangs; killing it", worker.model)
            self._hung.add(worker.incarnation)
            process.kill()
            return
        if _loads_too_long(process):
            process.kill()
            return
        if row is not None:
            worker.follow(row.model)
        ordered = ordered_drain(row) if row is not None else None
        if row is not None and ordered is not None and not process.is_draining:
            await self._obey(worker, row, ordered)
        if row is not None and drain is not None and not process.is_draining:
            await self._leave_node(worker, row, drain)
        # The row was deleted with its model, or somebody released the worker.
        if row is None or not row.is_desired or process.is_draining:
            await process.drain(ordered)
            await _end_after_drain(worker, ordered or Drain())
        elif worker.is_outdated and self._may_reload(worker):
            logger.info("Reloading %s: its file or its adapters changed", worker.model)
            # The row is still desired, so it is claimed again.
            await process.drain()
        elif self._is_idle_too_long(worker):
            logger.info("Unloading %s: idle", worker.model)
            await in_one_thread(worker_rows.worker_release, worker.row_id)
            await process.drain()
        # A failed process is about to end; _bury then decides what the row says.
        if row is not None and process.report.state != "failed":
            await self._save(worker)

    async def _obey(self, worker: ClaimedWorker, row: Worker, ordered: Drain) -> None:
        """Drain a worker by an administrator's order."""
        if is_reload(row) and not (ordered.is_now or self._may_reload(worker)):
            return
        if not row.model.is_enabled:
            # A model that was disabled may still have desired workers.
            await in_one_thread(worker_rows.worker_release, worker.row_id)
        logger.info("%s", ordered.message or row.model.stop_order)
        await worker.process.drain(ordered)

    async def _leave_node(
        self, worker: ClaimedWorker, row: Worker, drain: NodeDrain
    ) -> None:
        """Drain a worker of a drained node: its row is claimed elsewhere."""
        command = await in_one_thread(drain_of_node, row, drain)
        if command is not None:
            logger.info("%s leaves the drained node", worker.model)
            await worker.process.drain(command)

    def _is_idle_too_long(self, worker: ClaimedWorker) -> bool:
        """Return whether no worker of the model was used for its keep-alive."""
        keep_alive = worker.settings.keep_alive
        if worker.settings.is_pinned or not keep_alive:
            return False
        return all(each.is_idle(keep_alive) for each in self._replicas(worker))

    def _may_reload(self, worker: ClaimedWorker) -> bool:
        """Return whether all replicas are ready: they are reloaded one at a time."""
        processes = [each.process for each in self._replicas(worker)]
        return all(p.report.state == "ready" and not p.is_draining for p in processes)

    def _replicas(self, worker: ClaimedWorker) -> list[ClaimedWorker]:
        return replicas_of(worker, self._workers.values())

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
            self._measured.note(process.spec.engine, report.measured)
            seconds = more["load_seconds"] = process.load_seconds
            await in_one_thread(worker_rows.load_done, worker.incarnation, seconds)
            logger.info("%s is ready after %.1f s", worker.model, process.load_seconds)
        with suppress(psutil.Error):
            more["memory_bytes"] = worker.rss = resident_memory(process.pid)
        more["device_memory"] = counted_memory(worker, self._replicas(worker))
        # The workers of a model share one queue: it counts with the first of them.
        if self._replicas(worker)[0] is worker:
            with suppress(OSError, RedisError):
                more["waiting"] = report.waiting + await queue_depth(worker.model.pk)
        if report.telemetry is not None:
            with suppress(OSError, RedisError):
                await asyncio.to_thread(
                    telemetry_store.save, worker.incarnation, report.telemetry
                )
        more |= worker.totals.columns()
        is_own = await in_one_thread(
            worker_rows.report_save, worker.row_id, worker.incarnation, report, **more
        )
        if not is_own:
            # Another node has freed it, or it was deleted.
            self._wake()
        await _save_totals(worker)
        if report.n_ctx_seen > (worker.model.n_ctx_seen or 0):
            await in_one_thread(
                worker_rows.longest_request_save, worker.model, report.n_ctx_seen
            )

    async def _bury(self, worker: ClaimedWorker) -> None:
        """Clean up after a process that has ended, and decide about its row."""
        process, row_id = worker.process, worker.row_id
        await process.close()
        del self._workers[row_id]
        await _save_totals(worker)
        if process.is_draining:
            await in_one_thread(worker_rows.worker_ended, row_id, worker.incarnation)
            logger.info("%s is unloaded", worker.model)
            # Its row may be another node's to claim.
            await wake_engines()
            self._wake()
            return
        logger.error("Worker of %s died: %s", worker.model, process.death())
        if process.report.lost_server:
            await self._lost_server(worker)
            return
        if worker.incarnation in self._hung:
            # We ended it: that is no sign that the model cannot be loaded.
            self._hung.remove(worker.incarnation)
            await in_one_thread(worker_rows.worker_crashed, row_id, worker.incarnation)
            self._wake()
            return
        lived = time.monotonic() - (process.ready_at or time.monotonic())
        crashes = self._crashes.get(row_id, 0) + 1
        self._crashes[row_id] = 1 if lived > _CRASH_WINDOW_S else crashes
        if process.ready_at is None or self._crashes[row_id] >= _MAX_CRASHES:
            self._crashes.pop(row_id, None)
            error = _death(process)
            await in_one_thread(
                worker_rows.worker_failed, row_id, worker.incarnation, error
            )
        else:
            await in_one_thread(worker_rows.worker_crashed, row_id, worker.incarnation)
            self._wake()

    async def _lost_server(self, worker: ClaimedWorker) -> None:
        """Let a worker be loaded again that lost an RPC server, unless it often did."""
        row_id, incarnation = worker.row_id, worker.incarnation
        ready_at, reason = worker.process.ready_at, worker.process.report.error
        served_s = time.monotonic() - ready_at if ready_at else 0.0
        if not self._lost.note(row_id, served_s):
            self._lost.forget(row_id)
            error = f"{reason} So it was again and again, soon after each load."
            await in_one_thread(worker_rows.worker_failed, row_id, incarnation, error)
            return
        await in_one_thread(worker_rows.worker_crashed, row_id, incarnation)
        await in_one_thread(worker_rows.load_waits, row_id, reason)
        self._wake()


async def _save_totals(worker: ClaimedWorker) -> None:
    totals = worker.totals
    if totals != (worker.saved_totals or worker.earlier):
        await in_one_thread(totals_save, worker.model.pk, worker.replica, totals)
        worker.saved_totals = totals


def _hangs(process: WorkerProcess) -> bool:
    """Return whether a worker that has loaded its model is silent for too long.

    One that loads may be: it reads gigabytes on a busy machine. Its time has a limit of
    its own.
    """
    return process.ready_at is not None and process.silent_s > _SILENT_AFTER_S


def _loads_too_long(process: WorkerProcess) -> bool:
    limit = settings.CONFIG.engine.load_timeout
    return process.ready_at is None and time.monotonic() - process.started_at > limit


async def _end_after_drain(worker: ClaimedWorker, command: Drain) -> None:
    """End a draining worker that has nothing to finish, or takes too long.

    First it is asked to release its running requests, or to end them if ``command``
    ends requests.
    """
    process = worker.process
    timeout_s = settings.CONFIG.engine.drain_timeout
    if process.report.state == "loading":
        process.kill()
    elif process.has_to_end_now:
        if process.drained_for_s > _EXITS_WITHIN_S:
            logger.warning("Worker of %s did not exit in time", worker.model)
            process.kill()
    elif process.drained_for_s > timeout_s:
        logger.warning("Worker of %s did not drain in time", worker.model)
        await process.drain(overdue(command, timeout_s))


def _death(process: WorkerProcess) -> str:
    if _loads_too_long(process):
        limit = settings.CONFIG.engine.load_timeout
        return f"Loading took longer than {limit} s (engine.load_timeout)."
    return process.death()
