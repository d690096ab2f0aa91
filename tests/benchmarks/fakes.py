"""A target that answers at once, at times that a test can foresee."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.client.answers import Answer, Call, Message

if TYPE_CHECKING:
    from collections.abc import Callable


def make_call(max_tokens: int = 3, **overrides: object) -> Call:
    return Call((Message("user", "Hello."),), max_tokens, **overrides)  # type: ignore[arg-type]


def make_answer(
    *arrivals_s: float,
    started_s: float = 0.0,
    prompt_tokens: int | None = 10,
    cached_tokens: int | None = 0,
    **of_call: object,
) -> Answer:
    """Return an answer of one token an event."""
    return Answer(
        call=make_call(len(arrivals_s), **of_call),
        started_s=started_s,
        arrivals_s=arrivals_s,
        text="x" * len(arrivals_s),
        completion_tokens=len(arrivals_s),
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
    )


class FakeTarget:
    """Gives every running answer a token whenever the event loop turns."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def ask(
        self, call: Call, *, on_text: Callable[[], None] | None = None
    ) -> Answer:
        number = len(self.calls)
        self.calls.append(call)
        clock = asyncio.get_running_loop().time
        started_s = clock()
        arrivals_s = []
        for _ in range(call.max_tokens):
            await asyncio.sleep(0)
            arrivals_s.append(clock())
            if on_text is not None:
                on_text()
        return Answer(
            call=call,
            started_s=started_s,
            arrivals_s=tuple(arrivals_s),
            text=f"answer {number}",
            completion_tokens=call.max_tokens,
            prompt_tokens=sum(len(message.content) for message in call.messages),
            cached_tokens=0,
        )
