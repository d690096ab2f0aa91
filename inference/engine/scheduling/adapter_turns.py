"""Schedules sets of LoRA adapters in turns: one set per step.

llama.cpp applies adapters to a context, so to a whole batch
(``llama_set_adapters_lora``): only sequences under the same adapters run together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.config.adapters import Adapters

#: The number of steps in a set's turn. After a change of adapters llama.cpp reserves
#: its graphs again: 5 ms for a model of 30 layers whose step takes 14 ms.
TURN_STEPS = 8


class AdapterTurns:
    """Round-robin between sets of adapters that have sequences to run."""

    def __init__(self) -> None:
        self._order: list[Adapters] = [()]
        self._steps = 0

    @property
    def current(self) -> Adapters:
        """The set of the next step."""
        return self._order[0]

    def prepare(self, runnable: Iterable[Adapters]) -> None:
        """Select the set of the next step among those that have sequences."""
        sets = set(runnable)
        if not sets:
            return
        before = self.current
        order = [each for each in self._order if each in sets]
        self._order = order + sorted(sets.difference(order))
        if before in sets and self._steps >= TURN_STEPS:
            self._order.append(self._order.pop(0))
        if self.current != before or self._steps >= TURN_STEPS:
            self._steps = 0

    def count_step(self) -> None:
        """Count a step that was computed."""
        self._steps += 1
