"""Operations on the KV cache before a step, as plain data.

Their order matters. Slots are numbers: a later operation may move the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference.engine.prefix_cache.scope import PrefixScope

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from inference.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Clear:
    """Empty a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class Evict:
    """Evict a cached prefix, ``tokens``, from its slot; ``cells`` become free."""

    slot: int
    cells: int
    tokens: Tokens[int] = field(default=(), compare=False)
    scope: PrefixScope = field(default=PrefixScope(""), compare=False)


@dataclass(frozen=True, slots=True)
class Reuse:
    """Keep the first ``length`` cells of the sequence's slot, and drop the rest."""

    sequence: Sequence
    slot: int
    length: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Copy ``length`` cells of ``source`` into the sequence's slot, which is empty."""

    sequence: Sequence
    source: int
    slot: int
    length: int


@dataclass(frozen=True, slots=True)
class Move:
    """Move all cells of ``source`` to ``target``, which is empty."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Save:
    """Copy the cells of ``slot`` out of the cache, for a preempted sequence."""

    sequence: Sequence
    slot: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Copy saved cells back into the sequence's slot, which is empty."""

    sequence: Sequence
    slot: int


@dataclass(frozen=True, slots=True)
class LoadPrefix:
    """Load a prefix from disk into the sequence's slot, which is empty.

    ``length`` of its tokens are the sequence's.
    """

    sequence: Sequence
    slot: int
    length: int


KVOp = Clear | Evict | Reuse | Fork | Move | Save | Restore | LoadPrefix
