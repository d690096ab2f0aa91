"""A client that asks for one token again and again, and how long each takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.client.answers import Call, Message, WrongAnswer, clock

if TYPE_CHECKING:
    from benchmarks.client.answers import Target

#: Between two requests.
_PAUSE_S = 0.05
_CALL = Call((Message("user", "Hi"),), max_tokens=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it was sent, in seconds since the epoch, and what it took."""

    at: float
    seconds: float
    is_answered: bool


@dataclass(slots=True)
class QuietClient:
    """One client of the first key; ``asked`` is all that it has asked."""

    target: Target
    asked: list[Asked] = field(default_factory=list)

    async def ask(self, seconds: float) -> list[Asked]:
        """Ask one request after the other for so long; return them."""
        asked = []
        end = clock() + seconds
        while clock() < end:
            at, started = time.time(), clock()
            try:
                await self.target.ask(_CALL)
                is_answered = True
            except (WrongAnswer, OSError):
                is_answered = False
            asked.append(Asked(at, clock() - started, is_answered))
            await asyncio.sleep(_PAUSE_S)
        self.asked += asked
        return asked
