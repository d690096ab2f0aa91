"""The time of a request as a bar: queue, prefill, decode. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_manager.lib.units import human_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import UsageRecord

#: The size of the bar in its own units.
WIDTH, HEIGHT = 1000, 28
#: What took no time that one could see is still to be found.
_MIN_WIDTH = 4.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the bar; ``name`` is its colour, too."""

    name: str
    about: str
    ms: int
    x: float
    width: float

    @property
    def span(self) -> str:
        """Its time, for people."""
        return human_span(self.ms / 1000)


def timeline(record: UsageRecord) -> tuple[Phase, ...]:
    """Return the phases of a request; none if its end is not known."""
    total = record.duration_ms
    if not total:
        return ()
    phases = []
    for name, about, start, end in _marks(record, total):
        x = start / total * WIDTH
        width = max((end - start) / total * WIDTH, _MIN_WIDTH)
        x = min(x, WIDTH - width)
        phases.append(Phase(name, about, end - start, round(x, 1), round(width, 1)))
    return tuple(phases)


def _marks(record: UsageRecord, total: int) -> Iterator[tuple[str, str, int, int]]:
    """Yield the name and the meaning of each phase, its start and its end in ms."""
    begun = record.queue_ms
    if begun is None:
        yield "queue", "until it ended, before a worker began it", 0, total
        return
    begun = min(begun, total)
    first = record.first_token_ms
    yield "queue", "until a worker began its prompt", 0, begun
    if first is None:
        yield "prefill", "its prompt, to its end", begun, total
        return
    first = min(max(first, begun), total)
    yield "prefill", "its prompt, to the first token", begun, first
    yield "decode", "the tokens of its answer", first, total
