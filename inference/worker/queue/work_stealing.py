"""Balances pending requests between the workers of a model.

A worker is fair between API keys and the queue is not, so workers take requests whether
or not they can start. A worker without room lets others take from the queue first, and
one with room steals pending requests from the worker with the most.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import RedisError

from inference.engine.request import GenerationRequest
from inference.transport.affinity.prefix_hashes import prefix_hashes
from inference.transport.codec import to_wire
from inference.transport.messages.peers import Beat, StealRequests, WorkerHeartbeat
from inference.worker.queue.new_prefixes import NewPrefixes
from llm_manager.lib.clocks.whole_times import until_next

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.request import ModelRequest
    from inference.worker.node_pipe import WorkerSpec

#: How often a worker sends the others a heartbeat.
_HEARTBEAT_EVERY_S = 1.0
#: The same while it has no request, and nobody counts its heartbeats but the web
#: processes of this machine: they believe one for five seconds.
_HEARTBEAT_AT_REST_S = 3.0
#: A worker without a heartbeat for this long is gone.
_GONE_AFTER_S = 3.0
#: How long a worker without room leaves the queue to others.
_YIELD_S = 0.05
#: About how long it takes until stolen requests arrive.
_STEAL_EVERY_S = 0.05


class Peers:
    """The other workers of a model, by their heartbeats."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heartbeats: dict[str, tuple[float, int]] = {}

    def put(self, heartbeat: WorkerHeartbeat) -> None:
        """Note that a worker serves, and how many of its requests cannot start yet."""
        if heartbeat.is_leaving:
            self._heartbeats.pop(heartbeat.control, None)
            return
        self._heartbeats[heartbeat.control] = (self._clock(), heartbeat.surplus)

    @property
    def is_alone(self) -> bool:
        """Whether no other worker serves the model."""
        self._forget()
        return not self._heartbeats

    @property
    def busiest(self) -> str:
        """The channel of the worker with the largest surplus; "" if none has any."""
        self._forget()
        surplus, control = max(
            ((surplus, control) for control, (_, surplus) in self._heartbeats.items()),
            default=(0, ""),
        )
        return control if surplus else ""

    def _forget(self) -> None:
        limit = self._clock() - _GONE_AFTER_S
        self._heartbeats = {
            control: (at, surplus)
            for control, (at, surplus) in self._heartbeats.items()
            if at >= limit
        }


class Load(Protocol):
    """How busy the worker is, in requests."""

    @property
    def is_serving(self) -> bool:
        """Whether it takes requests."""

    @property
    def room(self) -> int:
        """How many more requests could start at once."""

    @property
    def num_requests(self) -> int:
        """How many it has."""

    @property
    def requests_by(self) -> dict[str, int]:
        """How many it has of which web process, by its channel for events."""

    @property
    def num_slots(self) -> int:
        """How many can run at once."""

    @property
    def num_pending(self) -> int:
        """How many have not started."""

    @property
    def surplus(self) -> int:
        """How many of these cannot start yet."""


class WorkStealing:
    """Balances one worker with its model's others.

    ``needs_beats`` says whether anything is counted in this worker's own beats.
    ``has_machines``: workers and nodes may be on other machines.
    """

    def __init__(
        self,
        layer: Any,
        spec: WorkerSpec,
        load: Load,
        *,
        needs_beats: Callable[[], bool] = lambda: True,
        has_machines: bool = True,
    ) -> None:
        self._layer = layer
        self._spec = spec
        self._load = load
        self._needs_beats = needs_beats
        self._has_machines = has_machines
        self._control = ""
        self._was_serving = False
        self._prefixes = NewPrefixes()
        self._has_room = asyncio.Event()
        self._can_steal = asyncio.Event()
        self._at_once = asyncio.Event()
        self.peers = Peers()

    async def open(self, control: str) -> None:
        """Join the workers of the model; ``control`` is this worker's channel."""
        self._control = control
        await self._layer.group_add(self._spec.queue, control)

    def update(self) -> None:
        """Read the worker's load, which has changed."""
        if self._load.room > 0:
            self._has_room.set()
            if not self._load.num_pending and self.peers.busiest:
                self._can_steal.set()
        else:
            self._has_room.clear()

    def announce(self) -> None:
        """Send the next heartbeat at once: the worker has begun to serve, or ends."""
        self._at_once.set()

    def note(self, request: ModelRequest) -> None:
        """Say in the next heartbeat that the request's prompt is here."""
        if isinstance(request, GenerationRequest) and not self.peers.is_alone:
            hashes = prefix_hashes(self._spec.queue, request)
            self._prefixes.put(number for number, _ in hashes)

    def put(self, heartbeat: WorkerHeartbeat) -> None:
        """Take a heartbeat of another worker or of this one."""
        if heartbeat.control != self._control:
            self.peers.put(heartbeat)
            self.update()

    async def let_others_choose(self) -> None:
        """Leave the queue to workers with room for a while, if there are any."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.peers.is_alone else _YIELD_S):
                await self._has_room.wait()

    @property
    def may_wait_at_queue(self) -> bool:
        """Whether this worker may wait for the next request in the queue."""
        return self.peers.is_alone or self._has_room.is_set()

    async def steal(self) -> None:
        """Steal requests from the busiest worker while there is room here, forever."""
        while True:
            await self._can_steal.wait()
            self._can_steal.clear()
            room, busiest = self._load.room, self.peers.busiest
            if room > 0 and not self._load.num_pending and busiest:
                with suppress(OSError, RedisError):
                    await self._layer.send(busiest, to_wire(StealRequests(room)))
                await asyncio.sleep(_STEAL_EVERY_S)
                self.update()

    @property
    def heartbeat_in_s(self) -> float:
        """Seconds until the next heartbeat.

        Other nodes and workers miss one that comes late, and move models or requests.
        """
        is_busy = self._load.num_requests or self._needs_beats()
        if self._has_machines or is_busy or not self.peers.is_alone:
            return _HEARTBEAT_EVERY_S
        return until_next(_HEARTBEAT_AT_REST_S)

    async def send_heartbeats(self) -> None:
        """Send heartbeats to the other workers, and beats to this one, regularly.

        This is separate from the reports to the node: if Redis hangs, the worker must
        not look hung.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.heartbeat_in_s):
                    await self._at_once.wait()
            self._at_once.clear()
            with suppress(OSError, RedisError):
                await self.send_heartbeat()
                if self._needs_beats():
                    await self._layer.send(self._control, to_wire(Beat(self._control)))

    async def send_heartbeat(self) -> None:
        """Say that this worker serves, or once that it does not any more.

        Raises OSError or redis.exceptions.RedisError.
        """
        load, is_serving = self._load, self._load.is_serving
        if not is_serving and not self._was_serving:
            return
        heartbeat = WorkerHeartbeat(
            self._spec.queue,
            self._spec.incarnation,
            self._control,
            load.surplus,
            load.num_requests,
            load.num_slots,
            self._prefixes.take(),
            is_leaving=not is_serving,
            requests_by=load.requests_by,
        )
        await self._layer.group_send(self._spec.queue, to_wire(heartbeat))
        self._was_serving = is_serving
