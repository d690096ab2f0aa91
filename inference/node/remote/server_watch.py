"""Asks the RPC servers of the configuration how they are, and writes it into rows."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DatabaseError

from inference.capacity.machine import remote_gpus
from inference.models import RpcServer
from inference.rpc.errors import RpcError, RpcRefused
from inference.rpc.messages import RpcOffer
from inference.rpc.tunnel import rpc_status
from llm_manager.lib.threads import in_one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.capacity.machine import Gpu
    from inference.models import EngineNode

logger = logging.getLogger(__name__)

_ASK_EVERY_S = 10.0
#: A load does not rely on what is older.
_FRESH_S = 3.0


@dataclass(frozen=True, slots=True)
class ServerState:
    """How an RPC server was when it was asked last.

    ``error`` says why it cannot be used, ``is_refused`` that a person must act.
    """

    address: str
    offer: RpcOffer = field(default_factory=RpcOffer)
    error: str = ""
    is_refused: bool = False
    asked_at: float = 0.0

    @property
    def devices(self) -> tuple[Gpu, ...]:
        """Its devices, as capacity counts them."""
        return remote_gpus(self.address, self.offer.devices)


class ServerWatch:
    """What one node knows of RPC servers. ``wake`` makes the node look at its rows."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._states: dict[str, ServerState] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._saved: dict[str, ServerState] = {}

    async def run(self, node: EngineNode) -> None:
        """Ask all of them forever, and write down what changes."""
        servers = settings.CONFIG.rpc.servers
        with suppress(DatabaseError):
            await in_one_thread(rpc_servers_keep, node, servers)
        while servers:
            await asyncio.gather(*map(self._asked, servers))
            for address in servers:
                await self._save(node, self._states[address])
            await asyncio.sleep(_ASK_EVERY_S)

    def states(self, servers: tuple[str, ...]) -> list[ServerState] | None:
        """Return how these are now; None while they are asked. ``wake`` comes then."""
        now = time.monotonic()
        known = [self._states.get(address) for address in servers]
        fresh = [each for each in known if each and now - each.asked_at <= _FRESH_S]
        if len(fresh) == len(servers):
            return fresh
        for address in servers:
            self._asked(address).add_done_callback(lambda _task: self._wake())
        return None

    def _asked(self, address: str) -> asyncio.Task[None]:
        """Return the task that asks a server now."""
        task = self._asking.get(address)
        if task is None:
            task = self._asking[address] = asyncio.create_task(self._ask(address))
            task.add_done_callback(lambda _task: self._asking.pop(address, None))
        return task

    async def _ask(self, address: str) -> None:
        state = ServerState(address)
        try:
            offer = await rpc_status(address, settings.CONFIG.rpc.secret)
            state = ServerState(address, offer)
        except RpcError as error:
            is_refused = isinstance(error, RpcRefused)
            before = self._states.get(address, state)
            state = ServerState(address, before.offer, str(error), is_refused)
        self._states[address] = ServerState(
            state.address, state.offer, state.error, state.is_refused, time.monotonic()
        )

    async def _save(self, node: EngineNode, state: ServerState) -> None:
        """Write a row, if it says something else than before."""
        said = ServerState(state.address, state.offer, state.error, state.is_refused)
        if self._saved.get(state.address) == said:
            return
        try:
            await in_one_thread(rpc_server_save, node, said)
        except DatabaseError:
            # The next round writes it.
            logger.warning("An RPC server's row cannot be written", exc_info=True)
            return
        if said.error:
            logger.warning("%s", said.error)
        self._saved[state.address] = said


def rpc_servers_keep(node: EngineNode, servers: tuple[str, ...]) -> None:
    """Delete a node's rows of RPC servers that the configuration does not name."""
    RpcServer.objects.filter(node=node).exclude(address__in=servers).delete()


def rpc_server_save(node: EngineNode, state: ServerState) -> None:
    """Write how a node finds an RPC server."""
    RpcServer.objects.update_or_create(
        node=node,
        address=state.address,
        defaults={
            "devices": list(state.offer.devices),
            "holder": state.offer.holder,
            "error": state.error,
        },
    )
