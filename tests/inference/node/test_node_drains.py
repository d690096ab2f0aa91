"""A drained node has no workers: they go to other nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from inference import services
from inference.errors import EngineUnavailable
from inference.models import RpcServer
from inference.node import worker_rows
from inference.placing.drains import can_go_elsewhere, node_drain, node_undrain
from inference.worker.node_pipe import Drain
from registry.models import Model
from tests.configuration import changed
from tests.factories import make_node, make_worker
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    request_load,
    row,
    small,
)

if TYPE_CHECKING:
    from inference.models import EngineNode

pytestmark = pytest.mark.django_db(transaction=True)


def here(engine: Engine) -> EngineNode:
    node = engine.supervisor._node
    assert node is not None
    return node


async def drain(engine: Engine, *, is_now: bool = False) -> None:
    await sync_to_async(node_drain)(node=here(engine), is_now=is_now)
    await engine.look()


async def test_a_drained_node_takes_nothing_until_it_is_undrained(
    engine: Engine,
) -> None:
    await drain(engine)
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    assert (await row("m")).node_id is None
    await sync_to_async(node_undrain)(node=here(engine))
    await engine.look()
    assert (await row("m")).node_id == here(engine).pk


async def test_requests_of_a_model_that_only_it_serves_move_at_once(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    await sync_to_async(make_node)("other", labels=["cpu"])
    await drain(engine)
    assert process.drains == [Drain(is_now=True)]
    process.is_running = False
    await engine.look()
    # Now the other node may claim it.
    assert ((await row("m")).node_id, (await row("m")).state) == (None, "requested")
    await engine.look()
    assert (await row("m")).node_id is None


async def test_running_requests_end_where_they_run_while_another_node_serves(
    engine: Engine,
) -> None:
    process = await load(engine, "m")
    model = await Model.objects.aget()
    other = await sync_to_async(make_node)("other", labels=["cpu"])
    await sync_to_async(make_worker)(model, other, replica=1, incarnation="there")
    await drain(engine)
    assert process.drains == [Drain(is_now=False)]


async def test_what_no_other_node_can_take_stays_unless_it_is_drained_now(
    engine: Engine,
) -> None:
    process = await load(engine, "m", node_labels="cpu")
    await sync_to_async(make_node)("other", labels=["gpu"])
    await drain(engine)
    await engine.look()
    assert not process.is_draining
    await drain(engine, is_now=True)
    assert process.drains == [Drain(is_now=True)]


def test_a_model_on_rpc_servers_can_go_where_these_are_lent(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, rpc__servers=("b:1",))
    model = small("m", rpc_servers="b:1")
    node = make_node("here")
    # Too small for the model, but not for the part of it that stays.
    other = make_node("other", memory_limit=140 * 2**20, labels=["cpu"])
    assert not can_go_elsewhere(model, node)
    device = {"name": "CPU", "description": "EPYC", "total": 2**33, "free": 2**33}
    RpcServer.objects.create(node=other, address="b:1", devices=[device])
    assert can_go_elsewhere(model, node)


async def test_what_pinned_models_hold_elsewhere_is_no_room(engine: Engine) -> None:
    process = await load(engine, "m")
    other = await sync_to_async(make_node)(
        "other", labels=["cpu"], memory_limit=300 * 2**20
    )
    held = await sync_to_async(small)("held", is_pinned=True)
    await sync_to_async(make_worker)(held, other, device_memory=[200 * 2**20])
    await drain(engine)
    assert not process.is_draining
    held.is_pinned = False
    await held.asave()
    await engine.look()
    assert process.is_draining


async def test_a_drain_outlives_the_engine_process(engine: Engine) -> None:
    await drain(engine)
    await sync_to_async(worker_rows.node_stop)(here(engine))
    await engine.start()
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    assert FakeProcess.made == []


async def test_requests_are_told_that_all_nodes_are_drained(engine: Engine) -> None:
    await drain(engine)
    model = await sync_to_async(small)("m")
    with pytest.raises(EngineUnavailable, match="All nodes are drained"):
        await services.ensure_worker(model.pk)


async def test_a_drained_node_is_no_better_place_for_a_model(engine: Engine) -> None:
    far = await sync_to_async(make_node)("far", memory_limit=2**50, labels=["cpu"])
    await sync_to_async(node_drain)(node=far)
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    assert (await row("m")).node_id == here(engine).pk
