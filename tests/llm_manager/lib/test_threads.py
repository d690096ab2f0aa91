"""Code of requests in threads beside the event loop: clients take turns."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from threading import Event

import pytest

from llm_manager.lib.threads import in_turn

#: Only for the look after connections.
pytestmark = pytest.mark.django_db(transaction=True)
_WAIT_S = 60


async def test_a_client_with_many_requests_keeps_no_other_client_waiting() -> None:
    may_end = Event()
    slow = [
        asyncio.create_task(in_turn("greedy", may_end.wait, _WAIT_S)) for _ in range(50)
    ]
    await asyncio.sleep(0)

    assert await in_turn("quiet", lambda: "done") == "done"
    assert not any(task.done() for task in slow)
    may_end.set()
    assert all(await asyncio.gather(*slow))


async def test_code_in_a_thread_has_the_context_of_its_request() -> None:
    name: ContextVar[str] = ContextVar("name")
    name.set("mine")

    assert await in_turn("a", name.get) == "mine"


async def test_what_a_client_does_not_wait_for_any_more_is_not_done() -> None:
    may_end = Event()
    done: list[int] = []
    slow = [asyncio.create_task(in_turn("a", may_end.wait, _WAIT_S)) for _ in range(2)]
    left = asyncio.create_task(in_turn("a", done.append, 1))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    may_end.set()
    await asyncio.gather(*slow)
    await in_turn("a", lambda: None)

    assert not done
