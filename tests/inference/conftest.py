"""A world of workers and a web process, and what holds a model's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from channels.layers import channel_layers

from accounts.keys.live_keys import LiveKeys
from inference import services, serving
from inference.transport import key_watch, stream_watch
from tests.inference.world import Gate, World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    world = World()
    monkeypatch.setattr(services, "ensure_worker", world.ensure_worker)
    monkeypatch.setattr(serving, "serving_statuses", world.serving_statuses)
    monkeypatch.setattr(LiveKeys, "ended", lambda _, uses: world.ended_key_uses(uses))
    monkeypatch.setattr(key_watch, "_LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(stream_watch, "_WATCH_EVERY_S", 0.05)
    # Tests count by the reads how often streams were checked.
    monkeypatch.setattr(stream_watch, "_READ_EVERY_S", 0)
    monkeypatch.setattr(stream_watch, "_LOST_AFTER_S", 0.3)
    yield world
    await world.client.aclose()
    await world.kill_workers()
    await channel_layers["queue"].flush()
    await channel_layers["default"].flush()


@pytest.fixture
def gate() -> Iterator[Gate]:
    """What holds every step of a GatedBackend."""
    gate = Gate()
    yield gate
    gate.open()
