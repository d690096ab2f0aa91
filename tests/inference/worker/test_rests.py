"""Who prepares much rests in between, while others ask."""

from __future__ import annotations

import asyncio

from inference.worker.preparation import Preparation


class Clock:
    """A clock that the work itself moves on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def rests_of(*, with_other: bool, since_s: float = 0.0) -> list[float]:
    """Return for how long a key with three requests rests between them."""
    clock = Clock()
    rests: list[float] = []
    idle = asyncio.Event()

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    preparation = Preparation(
        on_error=lambda error: rests.append(-1.0),
        on_idle=idle.set,
        clock=clock,
        rest=rest,
    )

    def work() -> None:
        clock.now += 0.5

    async def job() -> None:
        await preparation.in_thread(work, key="greedy", on_overdue=lambda: None)

    if with_other:
        preparation.note("quiet")
        clock.now += since_s
    preparation.note("greedy")
    for _ in range(3):
        preparation.put("greedy", job)
    async with asyncio.timeout(60):
        await idle.wait()
    return rests


async def test_a_key_has_a_quarter_of_a_threads_time_while_another_asks() -> None:
    assert await rests_of(with_other=True) == [1.5, 1.5]


async def test_a_key_alone_does_not_rest() -> None:
    assert await rests_of(with_other=False) == []
    assert await rests_of(with_other=True, since_s=3.0) == []


async def test_a_key_rests_no_longer_than_another_asks() -> None:
    clock = Clock()
    rests: list[float] = []
    idle = asyncio.Event()

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        clock.now += seconds

    preparation = Preparation(
        on_error=lambda error: rests.append(-1.0),
        on_idle=idle.set,
        clock=clock,
        rest=rest,
    )

    def encode() -> None:
        clock.now += 60.0

    async def job() -> None:
        await preparation.in_thread(
            encode, key="greedy", on_overdue=lambda: None, encodes=True
        )
        preparation.note("quiet")

    preparation.put("greedy", job)
    preparation.put("greedy", job)
    async with asyncio.timeout(60):
        await idle.wait()

    # The other one asked once: it counts as asking for two seconds.
    assert 2.0 <= sum(rests) <= 4.0
