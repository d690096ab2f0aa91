"""A model with replicas_max gets and loses workers by how long its requests wait."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async

from inference import services
from inference.models import EngineNode, ScalingEvent, Worker
from inference.placing.scaling import Autoscaling
from registry.models import Model
from tests.fakes import Clock
from tests.inference.node.engine import Engine, FakeProcess, load, replicas

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock(engine: Engine) -> Clock:
    clock = Clock()
    engine.supervisor._scaling = Autoscaling(clock=clock)
    return clock


async def passes(engine: Engine, clock: Clock, seconds: float, **report: Any) -> None:
    """Let time pass at both of its ends, with what the first worker then reports."""
    FakeProcess.made[0].become(**report)
    for step in (0.0, seconds):
        clock.now += step
        await engine.look()
        await engine.supervisor._scale()


async def test_waiting_requests_bring_a_replica_and_calm_takes_it_away(
    engine: Engine, clock: Clock
) -> None:
    await load(engine, "m", replicas_max=2)
    await passes(engine, clock, 6)
    await passes(engine, clock, 1, oldest_wait_s=7.0, running=4, waiting=1)
    await engine.look()
    assert len(FakeProcess.made) == 2
    second = FakeProcess.made[1]
    second.become(state="ready", n_ctx=512, n_seq_max=4)
    await passes(engine, clock, 301, oldest_wait_s=0.0, running=0, waiting=0)
    await engine.look()
    assert second.is_draining
    assert not FakeProcess.made[0].is_draining
    events = [event async for event in ScalingEvent.objects.order_by("pk")]
    changes = [(event.replicas_before, event.replicas_after) for event in events]
    assert changes == [(1, 2), (2, 1)]
    assert "A request has waited for 7 s" in events[0].reason
    assert (await Worker.objects.aget(replica=1)).requested_by.startswith("autoscaling")


async def test_a_model_without_replicas_max_is_left_alone(
    engine: Engine, clock: Clock
) -> None:
    await load(engine, "m")
    await passes(engine, clock, 6)
    await passes(engine, clock, 60, oldest_wait_s=70.0, running=4, waiting=9)
    assert len(await replicas("m")) == 1


async def test_what_was_added_stays_when_the_model_is_asked_for_again(
    engine: Engine, clock: Clock
) -> None:
    await load(engine, "m", replicas_max=3)
    model = await Model.objects.aget()
    await sync_to_async(services.replicas_set)(model=model, replicas=3, by="a test")
    await sync_to_async(services.worker_request)(model=model)
    assert await Worker.objects.filter(is_desired=True).acount() == 3
    model.replicas_max = 2
    await model.asave()
    await sync_to_async(services.replicas_adjust)(model=model)
    assert await Worker.objects.filter(is_desired=True).acount() == 2


async def test_another_nodes_model_is_scaled_by_that_node(
    engine: Engine, clock: Clock
) -> None:
    await load(engine, "m", replicas_max=2)
    model = await Model.objects.aget()
    FakeProcess.made[0].become(oldest_wait_s=7.0, running=4, waiting=1)
    await engine.look()
    node = await EngineNode.objects.aget()
    for name, count in (("another", 1), (node.name, 2)):
        for _ in range(2):
            clock.now += 6
            await engine.supervisor._scaling.look_after([model], name)
        assert len(await replicas("m")) == count


async def test_a_model_is_scaled_while_its_first_replica_has_no_node(
    engine: Engine, clock: Clock
) -> None:
    await load(engine, "m", replicas=2, replicas_max=3)
    await engine.look()
    FakeProcess.made[1].become(state="ready", n_ctx=512, n_seq_max=4)
    await engine.look()
    model = await Model.objects.aget()
    await sync_to_async(services.replicas_set)(model=model, replicas=3, by="a test")
    await engine.look()
    FakeProcess.made[2].become(state="ready", n_ctx=512, n_seq_max=4)
    await engine.look()
    await Worker.objects.filter(replica=0).aupdate(node=None)
    node = await EngineNode.objects.aget()
    for _ in range(2):
        await engine.supervisor._scaling.look_after([model], node.name)
        clock.now += 301
    assert await ScalingEvent.objects.acount() == 1
