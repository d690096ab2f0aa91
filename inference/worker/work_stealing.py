"""The other workers of a model: whether there are any, and who has too much."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: A worker that was not heard of for so long is gone; they speak once a second.
_GONE_AFTER_S = 3.0


class Peers:
    """What the other workers say of themselves."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, int]] = {}

    def hear(self, control: str, surplus: int) -> None:
        """Note that a worker serves, and how many requests it cannot start yet."""
        self._heard[control] = (self._clock(), surplus)

    @property
    def is_alone(self) -> bool:
        """Whether no other worker serves the model."""
        self._forget()
        return not self._heard

    @property
    def richest(self) -> str:
        """The channel of the worker with the largest surplus; "" if none has any."""
        self._forget()
        surplus, control = max(
            ((surplus, control) for control, (_, surplus) in self._heard.items()),
            default=(0, ""),
        )
        return control if surplus else ""

    def _forget(self) -> None:
        limit = self._clock() - _GONE_AFTER_S
        self._heard = {
            control: (at, surplus)
            for control, (at, surplus) in self._heard.items()
            if at >= limit
        }
