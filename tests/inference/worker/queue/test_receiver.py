"""What a worker takes from its queue, on a real Redis."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from channels.layers import channel_layers

from inference.engine.request import TokenizationRequest
from inference.transport import codec
from inference.transport.codec import to_wire
from inference.transport.messages.requests import QueuedRequest
from inference.transport.queue import depth, put
from inference.worker.queue.receiver import QueueReceiver

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

QUEUE = "queue.test-receiver"


class Alone:
    """The part of WorkStealing for a worker without others."""

    may_wait_at_queue = True

    async def let_others_choose(self) -> None:
        """Return at once."""


async def test_a_request_of_a_newer_version_is_left_to_a_newer_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = channel_layers.make_backend("queue")
    newer = queued("newer", v=codec.VERSION + 1)
    await put(layer, QUEUE, newer, time.time() - 1)
    await put(layer, QUEUE, queued("known"), time.time())

    # It goes on to what it knows, though the other one came first.
    assert await taken_first(layer) == "known"
    assert await depth(layer, QUEUE) == 1

    # A worker of the version that the request needs takes it.
    monkeypatch.setattr(codec, "VERSION", codec.VERSION + 1)
    assert await taken_first(layer) == "newer"


async def test_what_nobody_could_read_in_time_leaves_the_queue() -> None:
    layer = channel_layers.make_backend("queue")
    late = queued("late", v=codec.VERSION + 1) | {"deadline": time.time() - 1}
    await put(layer, QUEUE, late, time.time() - 1)
    await put(layer, QUEUE, queued("known"), time.time())
    assert await taken_first(layer) == "known"
    assert await depth(layer, QUEUE) == 0


async def taken_first(layer: Any) -> str:
    """Return the id of the first request that a worker accepts."""
    accepted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def accept(message: QueuedRequest) -> None:
        receiver.close()
        accepted.set_result(message.request.request_id)

    receiver = receiver_of(layer, accept)
    receiver.open()
    running = asyncio.create_task(receiver.run())
    try:
        return await asyncio.wait_for(accepted, 60)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def receiver_of(layer: Any, accept: Callable[[QueuedRequest], None]) -> QueueReceiver:
    stealing: Any = Alone()
    return QueueReceiver(layer, QUEUE, stealing=stealing, accept=accept)


def queued(request_id: str, **more: int) -> dict[str, Any]:
    request = TokenizationRequest(request_id, "text", True, False)
    return to_wire(QueuedRequest(request, "reply.1", time.time() + 60)) | more
