"""Loads of models on RPC servers: what they wait for, what ends them."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference.models import EngineNode, RpcServer, WorkerState
from inference.node.remote import server_watch
from inference.rpc.errors import RpcError, RpcRefused, RpcUnreachable
from inference.rpc.messages import RpcOffer
from tests.configuration import changed
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    ready,
    request_load,
    row,
    small,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)
GIB = 2**30
DEVICE = {"name": "CPU", "description": "EPYC", "total": 8 * GIB, "free": 4 * GIB}


@dataclass
class Servers:
    """What the RPC servers say."""

    errors: dict[str, RpcError] = field(default_factory=dict)
    offers: dict[str, RpcOffer] = field(default_factory=dict)

    async def status(self, address: str, _secret: str) -> RpcOffer:
        if address in self.errors:
            raise self.errors[address]
        return self.offers.get(address, RpcOffer((DEVICE,)))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Servers:
    settings.CONFIG = changed(
        settings.CONFIG, rpc__servers=("b:1", "c:1"), rpc__secret="x" * 32
    )
    servers = Servers()
    monkeypatch.setattr(server_watch, "rpc_status", servers.status)
    # What was said a moment ago counts as old here: the tests change it.
    monkeypatch.setattr(server_watch, "_FRESH_S", 0.5)
    return servers


async def until(engine: Engine, holds: Callable[[Any], bool], name: str = "m") -> Any:
    """Let the node look until a row is as it should be; return the row."""
    async with asyncio.timeout(60):
        while not holds(found := await row(name)):
            await engine.look()
            await asyncio.sleep(0.01)
    return found


def is_loading(worker: Any) -> bool:
    return bool(worker.state == WorkerState.LOADING)


async def asked(name: str = "m", **settings: Any) -> None:
    model = await sync_to_async(small)(name, rpc_servers="b:1, c:1", **settings)
    await request_load(model)


async def test_a_model_is_loaded_on_the_servers_that_it_names(
    engine: Engine, servers: Servers
) -> None:
    await asked()
    await until(engine, is_loading)
    spec = FakeProcess.made[0].spec
    assert spec.engine.rpc_servers == ("b:1", "c:1")
    assert spec.engine.tensor_split == (0.5, 0.5)
    assert spec.rpc_secret == "x" * 32
    assert "x" * 32 not in repr(spec)


async def test_a_load_waits_for_a_server_and_says_so(
    engine: Engine, servers: Servers
) -> None:
    servers.errors["c:1"] = RpcUnreachable("The RPC server c:1 cannot be reached.")
    await asked()
    waiting = await until(engine, lambda worker: bool(worker.error))
    assert waiting.state == WorkerState.REQUESTED
    assert waiting.error == "The RPC server c:1 cannot be reached."
    del servers.errors["c:1"]
    await until(engine, is_loading)


async def test_a_server_that_refuses_ends_the_load_at_once(
    engine: Engine, servers: Servers
) -> None:
    servers.errors["b:1"] = RpcRefused("The RPC server b:1 has another secret.")
    await asked()
    failed = await until(engine, lambda worker: worker.state == WorkerState.FAILED)
    assert failed.error == "The RPC server b:1 has another secret."


async def test_a_server_that_stays_away_ends_the_load(
    engine: Engine, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers.errors["b:1"] = RpcUnreachable("The RPC server b:1 cannot be reached.")
    await asked()
    await until(engine, lambda worker: bool(worker.error))
    lost = engine.supervisor._starter._lost
    monkeypatch.setattr(lost, "_clock", lambda: time.monotonic() + 3600)
    failed = await until(engine, lambda worker: worker.state == WorkerState.FAILED)
    assert failed.error == "The RPC server b:1 cannot be reached."


async def test_a_server_that_serves_a_model_of_another_node_is_waited_for(
    engine: Engine, servers: Servers
) -> None:
    servers.offers["b:1"] = RpcOffer((DEVICE,), "other on n2")
    await asked()
    waiting = await until(engine, lambda worker: bool(worker.error))
    assert waiting.state == WorkerState.REQUESTED
    assert "serves other on n2, and one model at a time" in waiting.error


async def test_another_model_on_the_same_server_makes_room(
    engine: Engine, servers: Servers
) -> None:
    await asked("first")
    await until(engine, is_loading, "first")
    first = await ready(engine)
    servers.offers["b:1"] = RpcOffer((DEVICE,), "first on here")
    await asked("second")
    async with asyncio.timeout(60):
        while not first.is_draining:
            await engine.look()
            await asyncio.sleep(0.01)
    first.is_running = False
    servers.offers.clear()
    await until(engine, is_loading, "second")


async def test_a_worker_that_lost_a_server_is_loaded_again(
    engine: Engine, servers: Servers
) -> None:
    await asked()
    await until(engine, is_loading)
    process = await ready(engine)
    reason = "The RPC server b:1 was lost: its connection ended."
    servers.errors["b:1"] = RpcUnreachable("The RPC server b:1 cannot be reached.")
    process.become(state="failed", error=reason, lost_server="b:1")
    process.is_running = False
    await engine.look()
    waiting = await row("m")
    assert (waiting.state, waiting.error) == (WorkerState.REQUESTED, reason)
    servers.errors.clear()
    again = await until(engine, is_loading)
    assert again.restarts == 1
    assert again.error == ""


async def test_servers_that_are_lost_again_and_again_end_it(
    engine: Engine, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = engine.supervisor._starter._lost
    monkeypatch.setattr(lost, "pause_s", lambda _row: 0.0)
    await asked()
    for _ in range(5):
        await until(engine, is_loading)
        process = FakeProcess.made[-1]
        process.become(state="failed", error="b:1 was lost.", lost_server="b:1")
        process.is_running = False
        await engine.look()
    failed = await row("m")
    assert failed.state == WorkerState.FAILED
    assert failed.error.startswith("b:1 was lost. So it was again and again")


async def test_rows_say_how_a_node_finds_its_servers(
    engine: Engine, servers: Servers
) -> None:
    servers.errors["c:1"] = RpcUnreachable("c:1 is away.")
    servers.offers["b:1"] = RpcOffer((DEVICE,), "m on n")
    node = await EngineNode.objects.aget()
    await RpcServer.objects.acreate(node=node, address="gone:1")
    watching = asyncio.create_task(engine.supervisor._servers.run(node))
    async with asyncio.timeout(60):
        while await RpcServer.objects.filter(address__in=("b:1", "c:1")).acount() < 2:
            await asyncio.sleep(0.01)
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    found = [
        (each.address, each.holder, each.error, each.devices)
        async for each in RpcServer.objects.all()
    ]
    assert found == [("b:1", "m on n", "", [DEVICE]), ("c:1", "", "c:1 is away.", [])]


async def test_models_without_rpc_servers_ask_none(
    engine: Engine, servers: Servers
) -> None:
    servers.errors = {each: RpcUnreachable("away") for each in ("b:1", "c:1")}
    process = await load(engine, "alone")
    assert process.spec.engine.rpc_servers == ()
    assert process.spec.rpc_secret == ""
