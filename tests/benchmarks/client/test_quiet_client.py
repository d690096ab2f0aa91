from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.client.answers import Answer, Call, WrongAnswer
from benchmarks.client.quiet_client import QuietClient

if TYPE_CHECKING:
    from collections.abc import Callable


class EverySecondFails:
    """A server that refuses every second call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.num_open = 0

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        assert self.num_open == 0, "it asks one request after the other"
        self.num_open += 1
        self.calls.append(call)
        await asyncio.sleep(0)
        self.num_open -= 1
        if len(self.calls) % 2 == 0:
            raise WrongAnswer("503")
        return Answer(call, 0.0, (0.0,), "a", 1)


async def test_it_asks_for_one_token_again_and_again_and_counts_failures() -> None:
    target = EverySecondFails()
    client = QuietClient(target)
    first = await client.ask(0.2)
    second = await client.ask(0.2)
    assert client.asked == [*first, *second]
    assert {call.max_tokens for call in target.calls} == {1}
    assert [asked.is_answered for asked in client.asked] == [
        number % 2 == 0 for number in range(len(target.calls))
    ]
