"""Starts the workers that rows request, if they fit on this node."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings

from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.capacity.placement import place_worker
from inference.evictions import eviction_note
from inference.models import EngineNode
from inference.node import worker_rows
from inference.node.children.spawning import spawn_worker
from inference.node.children.worker_process import WorkerProcess
from inference.node.claimed_worker import ClaimedWorker, node_capacity, replicas_of
from inference.node.file_check import why_not_as_scanned
from inference.node.files.pulls import Pulls
from inference.node.load_checks import LoadChecks
from inference.node.remote.availability import why_unavailable
from inference.node.replica_spread import ReplicaSpread
from inference.node.totals import totals_of
from inference.placing.drains import drained_nodes
from inference.placing.files import parts_of
from inference.placing.labels import needed_labels, takes, why_no_node_takes
from inference.placing.recent_nodes import RecentNodes
from inference.serving import is_served
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Gpu
    from inference.capacity.placement import Placement
    from inference.models import Worker
    from inference.node.children.measured_times import MeasuredTimes
    from inference.node.children.spawning import Spawn
    from inference.node.files.own_files import OwnFiles
    from inference.node.remote.lost_servers import LostServers
    from inference.node.remote.server_watch import ServerWatch
    from registry.load_settings import LoadSettings

logger = logging.getLogger(__name__)


class WorkerStarter:
    """Claims requested rows and starts their processes.

    ``workers`` is the supervisor's dict of claimed workers by row; ``wake`` makes the
    supervisor look at the rows again; ``spawn`` starts a worker process. ``measured``
    is what workers have measured before.
    """

    def __init__(
        self,
        workers: dict[int, ClaimedWorker],
        wake: Callable[[], None],
        spawn: Spawn = spawn_worker,
        *,
        on_activity: Callable[[], None],
        servers: ServerWatch,
        lost: LostServers,
        measured: MeasuredTimes,
        files: OwnFiles,
    ) -> None:
        self._workers = workers
        self._files = files
        self._pulls = Pulls()
        self._servers = servers
        self._lost = lost
        self._measured = measured
        self._wake = wake
        self._on_activity = on_activity
        self._spawn = spawn
        self._checks = LoadChecks(wake)
        self._spread = ReplicaSpread()
        #: The other nodes, which the supervisor sees.
        self.seen = RecentNodes()
        #: The same by the fingerprints of their files.
        self.seen_files = RecentNodes()

    async def try_start(self, row: Worker, node: EngineNode) -> None:
        """Start the worker of a requested row, make room for it, or say why not."""
        if row.replica and not await in_one_thread(is_served, row.model):
            # Extra replicas wait until the first one has shown that the model loads.
            return
        if not takes(node, row.model):
            await self._leave_to_labelled(row, node)
            return
        is_here = await self._files.has(
            row.model, node, row_id=row.pk, since=row.requested_at
        )
        try:
            spec = load_spec(row.model, node.hardware_facts)
        except InvalidSettings as error:
            await in_one_thread(
                worker_rows.load_impossible, row.pk, node, None, str(error)
            )
            return
        if not is_here and not await self._lacks_alone(row, node, spec):
            return
        if reason := await in_one_thread(why_not_as_scanned, row.model):
            if is_here and await self._is_elsewhere_now(row, node):
                return
            await in_one_thread(worker_rows.load_impossible, row.pk, node, None, reason)
            logger.error("%s cannot be loaded: %s", row.model, reason)
            return
        if await self._spread.leaves_to_others(row, node, spec):
            return
        if spec.settings.rpc_servers:
            lent = await self._lent(row, node, spec.settings.rpc_servers)
            if lent is None:
                return
            spec = replace(spec, remote=lent)
        placement = place_worker(
            spec,
            model=row.model.pk,
            is_extra=row.replica > 0,
            capacity=node_capacity(node, self._workers.values()),
        )
        if placement.is_impossible:
            is_final = await in_one_thread(
                worker_rows.load_impossible, row.pk, node, spec, placement.reason
            )
            if is_final:
                logger.error("%s cannot be loaded: %s", row.model, placement.reason)
        elif placement.reason:
            await in_one_thread(worker_rows.load_waits, row.pk, placement.reason)
        if placement.evict and await self._may_evict_for(row, node, placement):
            await self._evict(placement.evict, row, node)
        if placement.plan is not None:
            self._checks.forget(row.pk)
            await self._start(row, node, spec.settings, placement.plan)

    async def _leave_to_labelled(self, row: Worker, node: EngineNode) -> None:
        """Leave a row to nodes with its model's labels; refuse it if there are none.

        One that was there lately may only be restarting, unless it is drained.
        """
        reason = await in_one_thread(why_no_node_takes, row.model)
        if not reason:
            return
        self.seen.forget(await in_one_thread(drained_nodes))
        name = self.seen.lately(
            needed_labels(row.model), within_s=settings.CONFIG.engine.load_timeout
        )
        if name:
            waits = f"Waiting for the machine {name}, which has the labels for it."
            await in_one_thread(worker_rows.load_waits, row.pk, waits)
        else:
            await in_one_thread(worker_rows.load_impossible, row.pk, node, None, reason)

    async def _lacks_alone(self, row: Worker, node: EngineNode, spec: LoadSpec) -> bool:
        """Return whether this machine is alone, so that nobody else has the files.

        What it lacks is said by the check of its files then. Else a row whose files
        are not here is left to nodes that have them, fetched if this node may, or
        fails with what each node lacks.
        """
        awaited = await in_one_thread(self._awaited_with_files, row)
        if not awaited and not await in_one_thread(worker_rows.other_nodes, node):
            return True
        step = await in_one_thread(self._pulls.step, row, node, spec, awaited=awaited)
        reason, is_final = step.reason, step.is_final
        if step.is_here:
            await self._files.report(node)
            self._wake()
            is_final = not self._files.has_now(row.model)
            reason = "Its files have come, and were taken away again."
        if is_final:
            await in_one_thread(worker_rows.load_impossible, row.pk, node, None, reason)
            logger.error("%s cannot be loaded: %s", row.model, reason)
        elif reason and not step.is_here:
            await in_one_thread(worker_rows.load_waits, row.pk, reason)
        return False

    def _awaited_with_files(self, row: Worker) -> str:
        """Return a node that had a model's files lately and is gone; "" if none is.

        It may only be restarting, unless it is drained.
        """
        self.seen_files.forget(drained_nodes())
        return self.seen_files.lately(
            frozenset(part.fingerprint for part in parts_of(row.model)),
            within_s=settings.CONFIG.engine.load_timeout,
            besides=set(EngineNode.objects.alive().values_list("name", flat=True)),
        )

    async def _is_elsewhere_now(self, row: Worker, node: EngineNode) -> bool:
        """Look at the disks again, as a file is not where it was.

        Returns whether the next look at the row may find its files: at another path
        here, or on another node.
        """
        await self._files.report(node)
        if self._files.has_now(row.model):
            return True
        return bool(await in_one_thread(worker_rows.other_nodes, node))

    async def _lent(
        self, row: Worker, node: EngineNode, servers: tuple[str, ...]
    ) -> tuple[Gpu, ...] | None:
        """Return the devices of a model's RPC servers; None while they are not there.

        The row says what it waits for, or that waiting does not help.
        """
        if self._lost.pause_s(row.pk):
            return None
        states = self._servers.states(servers)
        if states is None:
            return None
        held = {
            each
            for worker in self._workers.values()
            for each in worker.plan.engine.rpc_servers
        }
        found = why_unavailable(states, held)
        if found is None:
            self._lost.found(row.pk)
            return tuple(gpu for state in states for gpu in state.devices)
        waits_s = settings.CONFIG.engine.load_timeout
        if not found.is_final and self._lost.waited_s(row.pk) < waits_s:
            await in_one_thread(worker_rows.load_waits, row.pk, found.reason)
            return None
        self._lost.forget(row.pk)
        await in_one_thread(
            worker_rows.load_impossible, row.pk, node, None, found.reason
        )
        logger.error("%s cannot be loaded: %s", row.model, found.reason)
        return None

    async def _may_evict_for(
        self, row: Worker, node: EngineNode, placement: Placement
    ) -> bool:
        """Return whether a model can be loaded once others have made room for it.

        One that llama.cpp cannot load evicts nothing.
        """
        assert placement.planned is not None  # noqa: S101 - there are evictions
        engine = placement.planned.engine
        error = self._checks.error_of(
            row, worker_rows.worker_spec(row, node, engine, "")
        )
        if error:
            self._checks.forget(row.pk)
            await in_one_thread(worker_rows.load_impossible, row.pk, node, None, error)
            logger.error("%s cannot be loaded: %s", row.model, error)
        return error == ""

    async def _evict(
        self, row_ids: Sequence[int], row: Worker, node: EngineNode
    ) -> None:
        """Drain workers to make room. An extra replica is loaded again later."""
        for row_id in row_ids:
            worker = self._workers[row_id]
            logger.info("Unloading %s to make room for %s", worker.model, row.model)
            await in_one_thread(eviction_note, row_id, wanted_by=row, node=node)
            replicas = replicas_of(worker, self._workers.values())
            if all(each.row_id in row_ids for each in replicas):
                await in_one_thread(worker_rows.worker_release, row_id)
            await worker.process.drain()

    async def _start(
        self, row: Worker, node: EngineNode, load_settings: LoadSettings, plan: LoadPlan
    ) -> None:
        incarnation = uuid.uuid4().hex
        if not await in_one_thread(worker_rows.claim, row, node, plan, incarnation):
            return
        self._spread.forget(row.pk)
        logger.info("Loading %s", row.model)
        worker_spec = worker_rows.worker_spec(row, node, plan.engine, incarnation)
        process = WorkerProcess(
            replace(worker_spec, measured=self._measured.of(plan.engine)),
            on_change=self._wake,
            on_activity=self._on_activity,
            spawn=self._spawn,
        )
        self._workers[row.pk] = ClaimedWorker(
            row_id=row.pk,
            replica=row.replica,
            model=row.model,
            settings=load_settings,
            plan=plan,
            process=process,
            last_used=time.monotonic(),
            earlier=await in_one_thread(totals_of, row.model_id, row.replica),
        )
        try:
            await process.start()
        except OSError as error:
            del self._workers[row.pk]
            reason = f"The worker process cannot be started: {error.strerror}."
            await in_one_thread(worker_rows.worker_failed, row.pk, incarnation, reason)
