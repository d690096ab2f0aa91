"""When the next line of a batch may be sent."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: After a refusal, unless it says when to try again; doubled up to the most.
_FIRST_WAIT_S = 1.0
_MAX_WAIT_S = 60.0
#: Limits that are full again within this time are half left to others; a batch cannot
#: wait for a month's budget.
_SOON_S = 300.0
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Pace:
    """Holds lines back after refusals, and while others need what a limit has left."""

    def __init__(self) -> None:
        self._until = 0.0
        self._wait_s = _FIRST_WAIT_S
        self._turn = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until the next line may be sent."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            # It may be put off meanwhile.
            while (left := self._until - loop.time()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(left)

    def refused(self, headers: Mapping[str, str]) -> None:
        """Note that a line was refused and is to be sent again."""
        asked = headers.get("Retry-After", "")
        wait = float(asked) if asked.isdecimal() else 0.0
        self._hold(min(max(wait, self._wait_s), _MAX_WAIT_S))
        self._wait_s = min(2 * self._wait_s, _MAX_WAIT_S)

    def answered(self, headers: Mapping[str, str]) -> None:
        """Note that a line was answered, and what the limits of its key have left."""
        self._wait_s = _FIRST_WAIT_S
        for name in ("requests", "tokens"):
            limit = headers.get(f"x-ratelimit-limit-{name}", "")
            left = headers.get(f"x-ratelimit-remaining-{name}", "")
            if not (limit.isdecimal() and left.isdecimal()):
                continue
            reset = seconds_of(headers.get(f"x-ratelimit-reset-{name}", ""))
            if 2 * int(left) < int(limit) and reset <= _SOON_S:
                self._hold(min(reset, _MAX_WAIT_S))

    def _hold(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._until = max(self._until, until)


def seconds_of(duration: str) -> float:
    """Return the seconds of a duration as OpenAI's headers have it, such as 6m0s."""
    return sum(float(n) * _UNITS[unit] for n, unit in _DURATION.findall(duration))
