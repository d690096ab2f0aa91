"""The engine process of a node: starts and stops workers until they match the rows.

It never imports llama.cpp: a model that crashes ends only its own worker process. It
reads the rows whenever it is woken, and acts on the difference. While something goes on
it reads them every second besides, so a lost message delays it by a second; while its
workers serve and nothing else goes on, every few seconds, and in between it writes only
what they report; at rest, seldom.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers
from django.conf import settings
from django.db import DatabaseError

from inference.engine_messages import (
    ENGINE_FILES,
    ENGINE_GROUP,
    ENGINE_SCAN,
    ENGINE_WAKE,
)
from inference.models import WorkerState
from inference.node import worker_rows
from inference.node.children.command_process import (
    CommandProcess,
    benchmark_process,
    context_test_process,
    download_process,
    file_server_process,
)
from inference.node.children.measured_times import MeasuredTimes
from inference.node.children.spare_worker import SpareWorker
from inference.node.files.elsewhere import FilesElsewhere
from inference.node.files.own_files import OwnFiles
from inference.node.housekeeping import keep_house
from inference.node.models_watch import ModelsWatch
from inference.node.remote.lost_servers import LostServers
from inference.node.remote.server_watch import ServerWatch
from inference.node.silence.calm import Calm
from inference.node.silence.own_beats import OwnBeats
from inference.node.silence.silent_workers import SilentWorkers
from inference.node.worker_starter import WorkerStarter
from inference.node.worker_watcher import WorkerWatcher
from inference.placing.drains import drain_of
from inference.placing.scaling import Autoscaling
from inference.services import models_preload
from inference.transport.codec import ProtocolError, from_wire, to_wire
from inference.transport.messages.peers import Beat, WorkerHeartbeat
from llm_manager.lib.clocks.whole_times import until_next
from llm_manager.lib.threads import in_one_thread, in_thread
from registry.services import model_scan

if TYPE_CHECKING:
    from inference.capacity.machine import Machine
    from inference.models import EngineNode, Worker
    from inference.node.claimed_worker import ClaimedWorker

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
#: While workers only serve, rows are read this often: at every third look.
_READ_SERVING_EVERY_S = 8.0
#: Beats from one look at the other nodes' rows to the next, while these have workers.
_MEET_EVERY_BEATS = 3
#: How often workers are checked without reading any row.
_CHECK_EVERY_S = 6.0


class Supervisor:
    """Runs one node: a loop over the rows, a heartbeat and a listener."""

    def __init__(self) -> None:
        self._workers: dict[int, ClaimedWorker] = {}
        self._look = asyncio.Event()
        #: Somebody has asked for a look: it cannot wait.
        self._is_urgent = False
        #: A row waits for memory, which requests that end may free.
        self._is_awaited = False
        #: The rows of the workers, and when they were read.
        self._rows: dict[int, Worker] = {}
        self._read_at = -math.inf
        self._stopping = asyncio.Event()
        lost = LostServers()
        self._files = OwnFiles()
        self._files_elsewhere = FilesElsewhere()
        self._servers = ServerWatch(self._wake)
        measured = MeasuredTimes()
        self._watcher = WorkerWatcher(self._workers, self._wake, lost, measured)
        self._spare = SpareWorker(settings.CONFIG.engine.n_threads)
        self._starter = WorkerStarter(
            self._workers,
            self._wake,
            self._spare.spawn,
            on_activity=self._look.set,
            servers=self._servers,
            lost=lost,
            measured=measured,
            files=self._files,
        )
        self._tests = context_test_process()
        self._downloads = download_process()
        self._benchmarks = benchmark_process()
        self._file_server = file_server_process()
        self._others = SilentWorkers()
        self._own_beats = OwnBeats()
        self._scaling = Autoscaling()
        self._calm = Calm()
        self._node: EngineNode | None = None
        self._scan: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Drain every worker, then leave ``run``. A second call kills them."""
        if self._stopping.is_set():
            for worker in self._workers.values():
                worker.process.kill()
        self._stopping.set()
        self._wake()

    def _wake(self) -> None:
        self._is_urgent = True
        self._look.set()

    async def run(self, machine: Machine) -> None:
        """Serve on this machine until stopped. Raises NodeTaken."""
        self._node = await in_one_thread(worker_rows.node_register, machine)
        await self._files.report(self._node)
        logger.info("Engine on %s is ready", self._node.name)
        await in_one_thread(models_preload)
        tasks = [
            asyncio.create_task(self._listen()),
            asyncio.create_task(self._beat()),
            asyncio.create_task(keep_house()),
            asyncio.create_task(self._servers.run(self._node)),
        ]
        if settings.CONFIG.models.watch:
            watch = ModelsWatch(partial(self._files.report, self._node))
            tasks.append(asyncio.create_task(watch.run()))
        try:
            while not self._stopping.is_set():
                look = self._write_reports if self._is_brief else self._look_once
                self._look.clear()
                self._is_urgent = False
                await look()
                await self._pause()
            await self._leave()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pause(self) -> None:
        """Wait until the node is woken, or has to look in any case."""
        until = time.monotonic() + self._calm.look_in_s
        while (left_s := until - time.monotonic()) > 0:
            with suppress(TimeoutError):
                check_in_s = until_next(_CHECK_EVERY_S)
                await asyncio.wait_for(self._look.wait(), min(left_s, check_in_s))
            if self._is_urgent or not self._is_steady:
                self._calm.disturb()
                return
            if self._look.is_set():
                self._look.clear()
                if self._is_awaited:
                    return
                # Requests have come or gone: that is written with the next heartbeat.
                self._calm.serve()
                until = min(until, time.monotonic() + self._calm.look_in_s)

    @property
    def _is_steady(self) -> bool:
        """Whether all its workers serve, and nothing else is ahead."""
        return all(worker.is_steady for worker in self._workers.values())

    @property
    def _is_busy(self) -> bool:
        """Whether any of its workers has requests."""
        return any(worker.is_busy for worker in self._workers.values())

    @property
    def _is_brief(self) -> bool:
        """Whether the next look is only for what workers report.

        Who changes rows says so, and a row that is another's is found when its worker's
        report is written.
        """
        is_read = time.monotonic() - self._read_at < _READ_SERVING_EVERY_S
        return (
            is_read
            and self._is_steady
            and not self._is_urgent
            and not self._is_awaited
            and self._calm.is_undisturbed
        )

    async def _write_reports(self) -> None:
        """Write what the workers report; unload those that are idle for too long."""
        try:
            for row_id, worker in list(self._workers.items()):
                await self._watcher.check(worker, self._rows.get(row_id))
        except Exception:
            logger.exception("Writing reports failed")
        if self._is_busy:
            self._calm.serve()

    async def _look_once(self) -> None:
        """Do all that is due; what fails is tried again with the next look."""
        for what, step in (
            ("Reading the rows", self.reconcile),
            ("Scaling models", self._scale),
            ("Starting a spare worker process", self._look_after_spare),
            ("Starting context tests", partial(self._look_after, self._tests)),
            ("Starting downloads", partial(self._look_after, self._downloads)),
            ("Starting benchmarks", partial(self._look_after, self._benchmarks)),
            ("Sending files", partial(self._look_after, self._file_server)),
        ):
            try:
                await step()
            except Exception:
                # Most likely the database: the workers continue without it.
                logger.exception("%s failed", what)

    async def reconcile(self) -> None:
        """Compare rows and processes once, and act on each difference."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        self._read_at = time.monotonic()
        drain = await in_one_thread(drain_of, self._node)
        rows = await in_one_thread(
            worker_rows.rows_of, self._node, self._others.silent, self._others.heard
        )
        for each in rows:
            self._files.use(each.model)
        self._is_awaited = any(row.state == WorkerState.REQUESTED for row in rows)
        if self._is_awaited:
            self._calm.disturb()
        self._rows = by_id = await self._watcher.own_rows(
            rows, self._node, may_reclaim=not self._own_beats.is_deaf
        )
        for row_id in list(self._workers):
            worker, row = self._workers[row_id], by_id.get(row_id)
            await self._watcher.check(worker, row, drain)
        if not self._is_steady or (drain is not None and self._workers):
            self._calm.disturb()
        if self._is_busy:
            self._calm.serve()
        for row in rows if drain is None else ():
            if row.pk not in self._workers and row.state == WorkerState.REQUESTED:
                try:
                    await self._starter.try_start(row, self._node)
                except Exception:
                    # One model that cannot be started must not stop the others.
                    logger.exception("%s could not be started", row.model)

    async def _scale(self) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        models = [worker.model for worker in self._workers.values()]
        await self._scaling.look_after(models, self._node.name)
        if self._is_busy and self._scaling.has_to_look:
            # How long requests wait is in the rows, of which others read it.
            self._calm.disturb()

    async def _look_after_spare(self) -> None:
        if not settings.CONFIG.server.spare_processes:
            return
        processes = [worker.process for worker in self._workers.values()]
        try:
            await self._spare.look_after(
                is_loading=any(each.report.state == "loading" for each in processes)
            )
        except OSError as error:
            logger.warning("No spare worker process can be started: %s", error)

    async def _look_after(self, process: CommandProcess) -> None:
        try:
            await process.look_after()
        except OSError as error:
            logger.warning("%s cannot be started: %s", process.command, error)

    async def _listen(self) -> None:
        """Wake the loop when another process says that rows changed.

        Notes which workers of other nodes say that they serve.
        """
        layer = channel_layers["default"]
        while True:
            try:
                channel = await layer.new_channel("engine.")
                await layer.group_add(ENGINE_GROUP, channel)
                hearing = asyncio.create_task(self._hear_others(channel))
                try:
                    while True:
                        self._take(await layer.receive(channel))
                finally:
                    hearing.cancel()
            except Exception:
                self._calm.disturb()
                logger.warning(
                    "Redis cannot be reached; reading the rows once a second",
                    exc_info=True,
                )
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _hear_others(self, channel: str) -> None:
        """Receive the heartbeats of the workers of other nodes; count beats."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        layer = channel_layers["default"]
        for number in itertools.count():
            is_alone = self._others.is_empty
            await asyncio.sleep(self._calm.meet_in_s if is_alone else _LOOK_EVERY_S)
            if is_alone or number % _MEET_EVERY_BEATS == 0:
                try:
                    await self._meet(channel)
                except Exception:
                    # Beats go on for the workers that are known.
                    logger.warning(
                        "Which workers other nodes have is not known", exc_info=True
                    )
            if self._others.is_empty and self._calm.is_alone:
                self._own_beats.hear()
                continue
            try:
                await layer.send(channel, to_wire(Beat(channel)))
            except Exception:
                logger.warning("A beat cannot be sent", exc_info=True)

    async def _meet(self, channel: str) -> None:
        """Read which other nodes there are, and which workers and files they have."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        others = await in_one_thread(worker_rows.workers_elsewhere, self._node)
        nodes = await in_one_thread(worker_rows.other_nodes, self._node)
        self._calm.is_alone = not nodes
        files = await in_one_thread(self._files_elsewhere.now, self._node)
        # Who is away for longer is waited for no more.
        keep_s = settings.CONFIG.engine.load_timeout
        self._starter.seen.see(nodes, keep_s=keep_s)
        self._starter.seen_files.see(files, keep_s=keep_s)
        for queue in set(others.values()):
            await channel_layers["default"].group_add(queue, channel)
        self._others.follow(others)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == ENGINE_WAKE:
            self._wake()
            return
        if message["type"] == ENGINE_SCAN:
            self._scan = asyncio.create_task(self._scan_here(message["host"]))
            return
        if message["type"] == ENGINE_FILES:
            self._scan = asyncio.create_task(self._files_here(message["host"]))
            return
        try:
            known = from_wire(message)
        except ProtocolError:
            # A worker of another version says nothing that is understood here.
            return
        match known:
            case WorkerHeartbeat() as heartbeat:
                self._others.put(heartbeat)
            case Beat():
                self._own_beats.hear()
                if self._others.beat():
                    self._wake()

    async def _files_here(self, host: str) -> None:
        """Report the files of this machine if it is the one whose files have come."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        if host == self._node.name:
            await self._files.report(self._node)
            self._wake()

    async def _scan_here(self, host: str) -> None:
        """Report the files of this machine, and scan them unless its own host has."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        await self._files.report(self._node)
        try:
            if host != self._node.name:
                await in_thread(model_scan)
        except (DatabaseError, OSError):
            logger.exception("The models directories could not be scanned")
        self._wake()

    async def _beat(self) -> None:
        assert self._node is not None  # noqa: S101 - run() sets it first
        while True:
            try:
                silent_s = self._own_beats.silent_s
                await in_one_thread(worker_rows.node_beat, self._node, silent_s)
            except Exception:
                logger.exception("The heartbeat could not be written")
            await asyncio.sleep(self._calm.beat_in_s)

    async def _leave(self) -> None:
        """Drain and end all workers, and give the rows back."""
        assert self._node is not None  # noqa: S101 - run() sets it first
        workers = list(self._workers.values())
        for worker in workers:
            await worker.process.drain()
            if worker.process.report.state == "loading":
                worker.process.kill()
        others = (
            self._tests,
            self._downloads,
            self._benchmarks,
            self._file_server,
        )
        await asyncio.gather(*(process.close() for process in others))
        limit = time.monotonic() + settings.CONFIG.engine.drain_timeout
        while any(w.process.is_running for w in workers) and time.monotonic() < limit:
            self._look.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), _LOOK_EVERY_S)
        await self._spare.close()
        for worker in workers:
            await worker.process.close()
        with suppress(DatabaseError):
            await in_one_thread(worker_rows.node_stop, self._node)
