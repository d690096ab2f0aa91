"""The worker process that waits for its model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from inference.engine.config.cpu_threads import physical_cores
from inference.node.children.spare_worker import CALM_S, SpareWorker


class Spawner:
    """Starts fakes, and tells the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Any] = []

    async def __call__(self, n_threads: int) -> Any:
        async def communicate() -> None:
            process.returncode = process.returncode or 0

        process = SimpleNamespace(
            returncode=None, n_threads=n_threads, communicate=communicate
        )
        process.kill = lambda: setattr(process, "returncode", -9)
        self.made.append(process)
        return process


@pytest.fixture
def spawner() -> Spawner:
    return Spawner()


@pytest.fixture
def spare(spawner: Spawner) -> SpareWorker:
    return SpareWorker(0, spawn=spawner, clock=lambda: spawner.now)


async def calm(spare: SpareWorker, spawner: Spawner) -> None:
    await spare.look_after(is_loading=False)
    spawner.now += CALM_S
    await spare.look_after(is_loading=False)


async def test_the_next_worker_is_the_process_that_waits(
    spare: SpareWorker, spawner: Spawner
) -> None:
    await calm(spare, spawner)
    (waiting,) = spawner.made
    assert await spare.spawn(0) is waiting
    # And it is given away once.
    assert await spare.spawn(0) is not waiting


async def test_no_spare_starts_beside_a_load(
    spare: SpareWorker, spawner: Spawner
) -> None:
    for _ in range(20):
        spawner.now += 1
        await spare.look_after(is_loading=True)
    assert not spawner.made


async def test_one_that_ended_is_replaced_and_not_used(
    spare: SpareWorker, spawner: Spawner
) -> None:
    await calm(spare, spawner)
    spawner.made[0].returncode = 1
    assert await spare.spawn(0) is spawner.made[1]
    await calm(spare, spawner)
    assert len(spawner.made) == 3
    await spare.close()
    assert spawner.made[2].returncode == -9


async def test_a_model_with_other_threads_gets_a_process_of_its_own(
    spare: SpareWorker, spawner: Spawner
) -> None:
    await calm(spare, spawner)
    process = await spare.spawn(physical_cores() + 1)
    assert process is spawner.made[1]
    assert process.n_threads == physical_cores() + 1
