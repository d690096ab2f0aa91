"""A process that waits for a message is not woken for nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from redis.asyncio.client import PubSub

from llm_manager.lib.redis.pubsub import PATIENCE_S, PatientPubSubLayer

if TYPE_CHECKING:
    import pytest


async def test_a_message_is_waited_for_and_not_asked_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = PatientPubSubLayer(hosts=["redis://nowhere.invalid"], prefix="p.")
    waits: list[float] = []
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def get_message(_self: PubSub, **options: Any) -> dict[str, Any]:
        waits.append(options["timeout"])
        return await queue.get()

    async def subscribe(self: PubSub, *channels: str) -> None:
        self.channels.update(dict.fromkeys(channels))

    monkeypatch.setattr(PubSub, "get_message", get_message)
    monkeypatch.setattr(PubSub, "subscribe", subscribe)
    channel = await layer.new_channel()
    data = layer.serialize({"type": "hello"})
    queue.put_nowait({"channel": channel.encode(), "data": data})
    async with asyncio.timeout(60):
        assert await layer.receive(channel) == {"type": "hello"}
    assert set(waits) == {PATIENCE_S}
    await layer.flush()
