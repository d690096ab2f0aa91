"""Replicas of a model go to different nodes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asgiref.sync import sync_to_async

from inference.node import replica_spread, worker_rows
from tests.factories import make_node
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    ready,
    replicas,
    request_load,
    row,
    small,
)

if TYPE_CHECKING:
    from inference.models import EngineNode

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def other(engine: Engine) -> Engine:
    """A second node, as large as the first and as idle."""
    node: EngineNode = engine.supervisor._node  # type: ignore[assignment]
    second = Engine()
    second.supervisor._node = await sync_to_async(make_node)(
        "second",
        memory_limit=node.memory_limit,
        memory_total=node.memory_total,
        max_models=node.max_models,
    )
    return second


async def holds_one_model(engine: Engine) -> None:
    node: EngineNode = engine.supervisor._node  # type: ignore[assignment]
    node.max_models = 1
    await node.asave()


async def nodes_of(name: str) -> list[int | None]:
    return [row.node_id for row in await replicas(name)]


async def test_two_idle_nodes_get_one_replica_each(
    engine: Engine, other: Engine
) -> None:
    await request_load(await sync_to_async(small)("m", replicas=2))
    await engine.look()
    await ready(engine)
    # The first node looks first, and again; it leaves the second replica alone.
    await engine.look()
    await other.look()

    first, second = await nodes_of("m")
    assert first is not None
    assert second is not None
    assert first != second


async def test_a_replica_that_no_other_node_takes_is_loaded_here(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await request_load(await sync_to_async(small)("m", replicas=2))
    await engine.look()
    await ready(engine)
    await engine.look()
    assert len(FakeProcess.made) == 1

    monkeypatch.setattr(replica_spread, "LEAVES_FOR_S", 0.0)
    await engine.look()

    assert len(FakeProcess.made) == 2
    assert len(set(await nodes_of("m"))) == 1


async def test_a_node_that_is_gone_is_left_nothing(
    engine: Engine, other: Engine
) -> None:
    assert other.supervisor._node is not None
    await sync_to_async(worker_rows.node_stop)(other.supervisor._node)
    await request_load(await sync_to_async(small)("m", replicas=2))
    await engine.look()
    await ready(engine)
    await engine.look()

    assert len(FakeProcess.made) == 2


async def test_a_node_evicts_nothing_for_a_model_that_another_one_has_room_for(
    engine: Engine, other: Engine
) -> None:
    await holds_one_model(engine)
    here = await load(engine, "here")
    await request_load(await sync_to_async(small)("next"))
    for _ in range(3):
        await engine.look()
    assert not here.is_draining
    await other.look()
    loaded = await row("next")
    assert loaded.node_id == other.supervisor._node.pk  # type: ignore[union-attr]


async def test_a_node_evicts_if_the_other_one_does_not_take_the_model(
    engine: Engine, other: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await holds_one_model(engine)
    here = await load(engine, "here")
    await request_load(await sync_to_async(small)("next"))
    await engine.look()
    assert not here.is_draining
    monkeypatch.setattr(replica_spread, "LEAVES_FOR_S", 0.0)
    for _ in range(3):
        await engine.look()
    assert here.is_draining
