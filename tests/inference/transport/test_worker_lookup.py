"""Requests are let in by what workers say while the database does not answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from inference import services
from inference.transport import worker_lookup
from inference.transport.queue import ModelQueue
from inference.transport.worker_lookup import WorkerLookup

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE = ModelQueue(7, "m", 60.0)


class Heartbeats:
    """Workers that say that they serve."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def serving(self, _channel: str) -> set[str]:
        return self.names

    async def follow(self, _channel: str) -> None:
        pass


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """The rows of workers are read once this is set."""
    answers = asyncio.Event()

    async def ensure(*_args: Any, **_more: Any) -> bool:
        await answers.wait()
        return True

    monkeypatch.setattr(services, "ensure_worker", ensure)
    monkeypatch.setattr(worker_lookup, "_ANSWERS_WITHIN_S", 0.01)
    return answers


@pytest.fixture
def lookup_of() -> Callable[..., WorkerLookup]:
    def make(*names: str) -> WorkerLookup:
        heartbeats: Any = Heartbeats(*names)
        return WorkerLookup(heartbeats)

    return make


async def test_a_request_is_let_in_if_a_worker_says_that_it_serves(
    rows: asyncio.Event, lookup_of: Callable[..., WorkerLookup]
) -> None:
    lookup = lookup_of("one")
    async with asyncio.timeout(60):
        await lookup.ensure(QUEUE, "k")
        await lookup.ensure(QUEUE, "k")
    (made, _) = lookup._lookups[QUEUE.model_id]
    assert not made.done()
    rows.set()
    assert await made


async def test_without_such_a_worker_it_waits_for_the_rows(
    rows: asyncio.Event, lookup_of: Callable[..., WorkerLookup]
) -> None:
    lookup = lookup_of()
    waiting = asyncio.create_task(lookup.ensure(QUEUE, "k"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    rows.set()
    async with asyncio.timeout(60):
        await waiting
