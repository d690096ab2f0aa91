"""How long a large body waits for others, and what it is refused with."""

from __future__ import annotations

import asyncio

import pytest

from inference.api.body import in_flight
from inference.api.body.in_flight import FREE_BYTES, BodyBudget
from inference.api.errors import ServerBusy

_WAIT_S = 30.0


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(limit=300, share=200)


def waiting(budget: BodyBudget, client: str, size: int) -> asyncio.Task[None]:
    return asyncio.create_task(budget.begin(client, FREE_BYTES + size))


async def turns() -> None:
    """Let every task go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_body_waits_for_another_one_of_its_key(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", _WAIT_S)
    budget.hold("a", 150)
    second = waiting(budget, "a", 100)
    other = waiting(budget, "b", 100)
    await turns()
    assert other.done()
    assert not second.done()
    budget.release("a", 150)
    await second


async def test_what_is_released_may_be_too_little(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", _WAIT_S)
    for _ in range(2):
        budget.hold("a", 100)
    second = waiting(budget, "a", 150)
    await turns()
    budget.release("a", 100)
    await turns()
    assert not second.done()
    budget.release("a", 100)
    await second


async def test_a_body_that_has_no_room_in_time_is_refused(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", 0.01)
    budget.hold("a", 150)
    with pytest.raises(ServerBusy, match="of this key"):
        await waiting(budget, "a", 100)
    budget.hold("b", 150)
    with pytest.raises(ServerBusy, match=r"^As many large bodies are being read"):
        await waiting(budget, "c", 100)
    # A small one has room always.
    await budget.begin("c", FREE_BYTES)


async def test_bodies_of_a_key_that_still_come_in_count_as_a_whole(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", _WAIT_S)
    first, second, third = (waiting(budget, "a", 100) for _ in range(3))
    await turns()
    assert first.done()
    assert second.done()
    assert not third.done()
    # Another key does not wait for what has not come.
    await waiting(budget, "b", 200)
    budget.end("a", FREE_BYTES + 100)
    await third


async def test_what_has_not_come_refuses_nobody(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", 0.01)
    await waiting(budget, "a", 150)
    await waiting(budget, "a", 150)


async def test_who_has_left_does_not_wait(
    budget: BodyBudget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "PATIENCE_S", _WAIT_S)
    budget.hold("a", 150)
    second, third = waiting(budget, "a", 100), waiting(budget, "a", 50 + 100)
    await turns()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    budget.release("a", 150)
    await third
