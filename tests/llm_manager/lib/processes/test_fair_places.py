"""Places that clients share: turns, bounds, and those who give up waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from llm_manager.lib.processes.fair_places import FairPlaces

if TYPE_CHECKING:
    from collections.abc import Iterable


class Visits:
    """Coroutines that hold a place until they are released, in order of their turns."""

    def __init__(self, places: FairPlaces) -> None:
        self._places = places
        self.began: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def begin(self, names: Iterable[str]) -> None:
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._visit(name))
        await settled()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self.tasks[name]
        await settled()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks[name], return_exceptions=True)
        await settled()

    async def _visit(self, name: str) -> None:
        async with self._places.place(name[0]):
            self.began.append(name)
            await self._ends[name].wait()


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_one_client_leaves_places_for_others() -> None:
    visits = Visits(FairPlaces(3, most=2))
    await visits.begin(["a1", "a2", "a3", "b1"])
    assert visits.began == ["a1", "a2", "b1"]


async def test_clients_that_wait_take_turns() -> None:
    visits = Visits(FairPlaces(1, most=1))
    await visits.begin(["a1", "a2", "a3", "b1", "c1"])
    # The second of a came before those of b and c, the third too: but it is b's turn.
    for name in ("a1", "a2", "b1", "c1"):
        await visits.end(name)
    assert visits.began == ["a1", "a2", "b1", "c1", "a3"]


async def test_one_that_gives_up_waiting_loses_no_place() -> None:
    visits = Visits(FairPlaces(1, most=1))
    await visits.begin(["a1", "b1", "c1"])
    await visits.cancel("b1")
    await visits.end("a1")
    assert visits.began == ["a1", "c1"]


async def test_one_that_gives_up_as_its_turn_comes_passes_it_on() -> None:
    visits = Visits(FairPlaces(1, most=1))
    await visits.begin(["a1", "b1", "c1"])
    visits.tasks["a1"].cancel()
    # In the same turn of the loop: b has its place, and has not run yet.
    await asyncio.sleep(0)
    visits.tasks["b1"].cancel()
    await settled()
    assert visits.began == ["a1", "c1"]
