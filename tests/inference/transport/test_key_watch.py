"""A key that ends takes its requests with it, running and waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from accounts.errors import ApiKeyEnded
from inference.transport import key_watch
from inference.transport.key_watch import KeyWatch
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import Gate, GatedBackend, collect, text_of, until

if TYPE_CHECKING:
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


async def test_only_the_requests_of_an_ended_key_end_and_free_their_slots(
    world: World, gate: Gate
) -> None:
    backend = GatedBackend(gate, n_seq_max=2)
    for letter in "abc":
        backend.script(letter, letter * 3000)
    worker = world.start_worker(backend)
    revoked = await world.submit("a", key="revoked")
    kept = await world.submit("b", key="kept")

    def both_run() -> bool:
        """Let the model take a step, until both have a slot."""
        gate.allow(1)
        return revoked.is_started and kept.is_started

    await until(both_run)
    waiting = await world.submit("c", key="revoked")
    await until(lambda: bool(waiting.worker))
    world.ended_keys["revoked"] = ApiKeyEnded("The key was revoked", "key_revoked")
    for stream in (revoked, waiting):
        with pytest.raises(ApiKeyEnded, match="revoked, which ended this request"):
            await collect(stream)
    await until(lambda: len(worker.model._accepted) == 1)
    gate.open()
    assert text_of(await collect(kept)) == "b" * 3000


async def test_nothing_wakes_while_there_are_no_requests(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    async def look(_: KeyWatch) -> None:
        nonlocal looks
        looks += 1

    monkeypatch.setattr(KeyWatch, "_look", look)
    monkeypatch.setattr(key_watch, "_LOOK_EVERY_S", 0)
    backend = FakeBackend()
    backend.script("a", "done")
    stream = await world.submit("a", key="kept")
    await until(lambda: looks > 0)
    world.start_worker(backend)
    await collect(stream)
    # One may be on its way.
    await asyncio.sleep(0)
    looks = 0
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks <= 1


async def test_requests_without_a_key_are_not_looked_up(world: World) -> None:
    backend = FakeBackend()
    backend.script("a", "done")
    world.ended_keys["ip:10.0.0.1"] = ApiKeyEnded("never", "key_revoked")
    stream = await world.submit("a", key="ip:10.0.0.1")
    looks = world.looks
    await until(lambda: world.looks > looks + 3)
    world.start_worker(backend)
    assert text_of(await collect(stream)) == "done"
