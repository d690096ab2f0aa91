"""LoRA adapters: which a sequence runs under, and whose turn it is.

llama.cpp applies adapters to a context, so to a whole batch: sequences run together
if they have the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: The names of adapters and their scales, by name; none has the scale 0.
Adapters = tuple[tuple[str, float], ...]

#: Whose cells they are, and under which adapters they were computed: only there can
#: a prefix be taken over.
Realm = tuple[str, Adapters]

#: Steps after which others get their turn. To change adapters llama.cpp plans its
#: graphs anew: 5 ms for a model of 30 layers, where a step took 14.
TURN_STEPS = 8


class AdapterNotLoaded(EngineError):
    """A request names an adapter that the worker has not loaded (any more)."""

    code = "adapter_not_loaded"


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter that is loaded with a model; ``size`` is in bytes."""

    name: str
    path: str
    fingerprint: str
    size: int


def adapter_set(chosen: Iterable[tuple[str, float]]) -> Adapters:
    """Return adapters, each chosen once, so that what means the same is alike."""
    return tuple(sorted((name, scale) for name, scale in chosen if scale))


def check_loaded(adapters: Adapters, loaded: Collection[str]) -> None:
    """Raise AdapterNotLoaded if there is one that is not."""
    for name, _ in adapters:
        if name not in loaded:
            raise AdapterNotLoaded(
                f"The adapter '{name}' is not loaded with the model yet, or no longer."
            )


class Turns:
    """Says whose turn it is: round-robin between sets of adapters."""

    def __init__(self) -> None:
        self._line: list[Adapters] = [()]
        self._steps = 0

    @property
    def current(self) -> Adapters:
        """The set of the next step."""
        return self._line[0]

    def prepare(self, present: Iterable[Adapters]) -> None:
        """Choose the set of the next step among those that have sequences."""
        sets = set(present)
        if not sets:
            return
        before = self.current
        line = [each for each in self._line if each in sets]
        self._line = line + sorted(sets.difference(line))
        if before in sets and self._steps >= TURN_STEPS:
            self._line.append(self._line.pop(0))
        if self.current != before or self._steps >= TURN_STEPS:
            self._steps = 0

    def count(self) -> None:
        """Say that a step was computed."""
        self._steps += 1
