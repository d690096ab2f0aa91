"""The order of a model's queue, on a real Redis."""

from __future__ import annotations

import asyncio
import time

import pytest
from channels.exceptions import ChannelFull
from channels.layers import channel_layers

from inference.transport.queue import (
    MAX_LATER_S,
    SPACING_S,
    QueueOrder,
    depth,
    put,
    take,
)
from tests.fakes import Clock

QUEUE = "queue.test-order"


def test_requests_of_one_key_are_a_step_apart_and_those_of_others_are_not() -> None:
    clock = Clock()
    order = QueueOrder(clock=clock)
    many = [order.next(QUEUE, "many", 1.0) for _ in range(5)]
    assert many == pytest.approx([clock.now + n * SPACING_S for n in range(5)])
    assert order.next(QUEUE, "one", 1.0) == clock.now
    assert order.next("queue.other", "many", 1.0) == clock.now


def test_a_heavier_key_takes_smaller_steps() -> None:
    clock = Clock()
    order = QueueOrder(clock=clock)
    order.next(QUEUE, "heavy", 2.0)
    later = order.next(QUEUE, "heavy", 2.0)
    assert later == pytest.approx(clock.now + SPACING_S / 2)


def test_nothing_is_later_than_the_limit_and_a_pause_is_forgiven() -> None:
    clock = Clock()
    order = QueueOrder(clock=clock)
    for _ in range(1000):
        last = order.next(QUEUE, "many", 1.0)
    assert last == clock.now + MAX_LATER_S
    clock.now += 60
    assert order.next(QUEUE, "many", 1.0) == clock.now


async def test_workers_take_the_earliest_first_and_a_full_queue_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = channel_layers.make_backend("queue")
    monkeypatch.setattr(layer, "capacity", 3)
    monkeypatch.setattr(layer, "channel_capacity", [])
    clock = Clock()
    # Older ones would have expired.
    clock.now = time.time()
    order = QueueOrder(clock=clock)
    keys = ["many", "many", "one"]
    try:
        for number, key in enumerate(keys):
            at = order.next(QUEUE, key, 1.0)
            await put(layer, QUEUE, {"type": "test", "number": number}, at)
        with pytest.raises(ChannelFull):
            await put(layer, QUEUE, {"type": "test"}, clock.now)
        taken = [(await take(layer, QUEUE))["number"] for _ in keys]
        assert taken[-1] == 1
        assert not await depth(layer, QUEUE)
    finally:
        await layer.flush()
        await layer.close_pools()


async def test_a_worker_that_waits_gets_the_next_request_at_once() -> None:
    layer = channel_layers.make_backend("queue")
    try:
        waiting = asyncio.create_task(take(layer, QUEUE))
        await asyncio.sleep(0)
        await put(layer, QUEUE, {"type": "test", "number": 7}, time.time())
        assert (await waiting)["number"] == 7
    finally:
        await layer.flush()
        await layer.close_pools()
