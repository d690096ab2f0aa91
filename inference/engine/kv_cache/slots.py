"""The slots of the KV cache: running sequences and cached prefixes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, pairwise
from typing import TYPE_CHECKING

from inference.engine.kv_cache.cells import Cells
from inference.engine.kv_cache.operations import (
    Clear,
    Evict,
    Fork,
    KVOp,
    LoadPrefix,
    Move,
    Restore,
    Reuse,
)
from inference.engine.media.spans import whole
from inference.engine.prefix_cache.prefix_tree import PrefixTree
from inference.engine.prefix_cache.scope import PrefixScope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.sequence import Sequence

#: A shorter prefix is not worth copying.
MIN_COPY = 8
#: A sequence waits for a prefix that a running one is about to compute if it is longer
#: by this much than the one in the cache.
MIN_WAIT = 32
#: A slot is reused with its content, instead of copied from, if at most this share of
#: the content is lost.
_LOSABLE = 0.25
#: How many sequences one step may move closer together.
_MAX_MOVES = 4


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """The longest prefix in the cache: its slot, and its length in tokens."""

    source: int | None = None
    length: int = 0


@dataclass(slots=True)
class _CachedPrefix:
    """The tokens that a finished sequence left in its slot."""

    tokens: list[int]
    scope: PrefixScope
    used_at: int


class Slots:
    """Gives slots to sequences and keeps finished ones as cached prefixes.

    In a split cache, llama.cpp puts sequences into one micro-batch only if their slots
    are neighbours, so slots are assigned and exchanged for that: a step over two groups
    of neighbours reads all weights twice.
    """

    def __init__(
        self,
        layout: CacheLayout,
        *,
        can_cut: bool = True,
        shares_prefixes: bool = False,
        reuses_prefixes: bool = True,
    ) -> None:
        """``can_cut`` says whether the end of a sequence can be dropped at all.

        Owners find each other's prefixes with ``shares_prefixes``; without
        ``reuses_prefixes`` a sequence finds its own only, after a preemption.
        """
        self._can_cut = can_cut
        self._shares_prefixes = shares_prefixes
        self._reuses_prefixes = reuses_prefixes
        self.reset(layout)

    def reset(self, layout: CacheLayout) -> None:
        """Start again with an empty cache of another layout."""
        self.layout = layout
        self.count = layout.n_seq_max
        self.cells = Cells(total=layout.n_cells, are_shared=not layout.is_split)
        self._is_split = layout.is_split
        self._running: dict[int, Sequence] = {}
        self._cached: dict[int, _CachedPrefix] = {}
        self._tree = PrefixTree()
        self._ticks = count()

    @property
    def running(self) -> list[Sequence]:
        """The sequences that have a slot, in the order in which they got it."""
        return list(self._running.values())

    @property
    def num_free(self) -> int:
        """The number of slots without a running sequence."""
        return self.count - len(self._running)

    # Prefixes that are in the cache ------------------------------------------------

    def find(self, sequence: Sequence) -> PrefixMatch:
        """Return the longest prefix that the sequence can reuse now."""
        best = PrefixMatch()
        if sequence.params.prompt_logprobs is not None:
            # All positions need logits, so all are computed.
            return best
        limit = len(sequence.tokens) - 1
        scope = self.scope(sequence)
        spans = sequence.request.media_spans
        for depth, slots in self._tree.match(sequence.tokens, scope):
            for slot in slots:
                computed = self._length(slot)
                length = whole(spans, min(depth, computed, limit))
                if not self._can_cut and length < computed:
                    continue
                # A finished sequence's slot can be reused; a running one's must be
                # copied.
                is_better = length == best.length and slot in self._cached
                if length > best.length or (length and is_better):
                    best = PrefixMatch(slot, length)
        return best

    def pending(self, sequence: Sequence, found: int) -> tuple[Sequence, int] | None:
        """Return which sequence will compute more than ``found``, and how much."""
        if sequence.params.prompt_logprobs is not None:
            return None
        limit = len(sequence.tokens) - 1
        best: tuple[Sequence, int] | None = None
        promised = found + MIN_WAIT - 1
        scope = self.scope(sequence)
        for depth, slots in self._tree.match(sequence.tokens, scope):
            length = whole(sequence.request.media_spans, min(depth, limit))
            for slot in slots:
                runner = self._running.get(slot)
                if runner and length > promised and runner.num_computed < length:
                    best, promised = (runner, length), length
        return best

    def scope(self, sequence: Sequence) -> PrefixScope:
        """Return the scope in which the sequence finds and leaves prefixes."""
        request = sequence.request
        owner = "" if self._shares_prefixes else request.owner
        if not self._reuses_prefixes:
            owner = request.request_id
        return PrefixScope(owner, request.adapters)

    def _length(self, slot: int) -> int:
        runner = self._running.get(slot)
        return runner.num_computed if runner else len(self._cached[slot].tokens)

    # Giving and taking --------------------------------------------------------

    def take(self, sequence: Sequence, match: PrefixMatch) -> list[KVOp]:
        """Give the sequence a slot with the prefix that was found for it."""
        slot = self._choose(match)
        if slot != match.source and match.length < MIN_COPY:
            match = PrefixMatch()
        ops: list[KVOp] = []
        sequence.slot = slot
        if sequence.saved is not None:
            ops += [*self._vacate(slot), Restore(sequence, slot)]
            self.cells.append(slot, sequence.num_computed)
        elif sequence.stored is not None:
            length = sequence.stored.length
            ops += [*self._vacate(slot), LoadPrefix(sequence, slot, length)]
            self.cells.append(slot, length)
            sequence.num_computed = length
        elif slot == match.source:
            del self._cached[slot]
            ops.append(Reuse(sequence, slot, match.length))
            self.cells.keep(slot, match.length)
            sequence.num_computed = match.length
        else:
            ops += self._vacate(slot, spare_not=match.source)
            sequence.num_computed = match.length
            if match.source is not None:
                ops.append(Fork(sequence, match.source, slot, match.length))
                self.cells.share(match.source, slot, match.length)
                self._touch(match.source)
        self._running[slot] = sequence
        self._tree.put(slot, list(sequence.tokens), self.scope(sequence))
        return ops

    def forget(self, sequence: Sequence) -> None:
        """Record that a running sequence has lost all its cells."""
        slot = _slot(sequence)
        self.cells.clear(slot)
        sequence.num_computed = 0
        if sequence.started_at is None:
            sequence.num_cached = 0

    def grow(self, sequence: Sequence, count: int) -> None:
        """Record that ``count`` more tokens of a running sequence have a cell."""
        sequence.num_computed += count
        self.cells.append(_slot(sequence), count)

    def cut(self, sequence: Sequence, length: int) -> None:
        """Record that a running sequence keeps only its first ``length`` cells."""
        self.cells.keep(_slot(sequence), length)
        sequence.num_computed = length

    def retire(self, sequence: Sequence) -> None:
        """Take the slot of a finished sequence; its cells stay as a cached prefix."""
        slot = _slot(sequence)
        del self._running[slot]
        sequence.slot = None
        tokens = sequence.tokens[: sequence.num_computed]
        scope = self.scope(sequence)
        self._tree.put(slot, tokens, scope)
        if tokens:
            self._cached[slot] = _CachedPrefix(tokens, scope, next(self._ticks))

    def drop(self, sequence: Sequence) -> list[KVOp]:
        """Take the slot of a sequence and empty it."""
        slot = _slot(sequence)
        del self._running[slot]
        sequence.slot = None
        self._tree.remove(slot)
        self.cells.clear(slot)
        return [Clear(slot)]

    def reclaim(self, cells: int) -> list[KVOp]:
        """Evict least recently used prefixes until ``cells`` are free, or all are."""
        ops: list[KVOp] = []
        while self.cells.free < cells and self._cached:
            ops.append(self._evict(self._oldest()))
        return ops

    def free_beside(self, sequences: Iterable[Sequence]) -> int:
        """Return how many cells are free if only these sequences keep theirs."""
        return self.cells.total - self.cells.used_by(map(_slot, sequences))

    def cached(self) -> list[tuple[int, list[int], PrefixScope]]:
        """Return slot, tokens and scope of each cached prefix, newest first."""
        newest = sorted(self._cached.items(), key=lambda each: -each[1].used_at)
        return [(slot, cached.tokens, cached.scope) for slot, cached in newest]

    def _touch(self, slot: int) -> None:
        if slot in self._cached:
            self._cached[slot].used_at = next(self._ticks)

    def _oldest(self) -> int:
        return min(self._cached, key=lambda slot: self._cached[slot].used_at)

    def _evict(self, slot: int) -> KVOp:
        gained = self.cells.gained_by_clearing(slot)
        cached = self._cached.pop(slot)
        self._tree.remove(slot)
        self.cells.clear(slot)
        return Evict(slot, gained, cached.tokens, cached.scope)

    # Which slot ---------------------------------------------------------------

    def _choose(self, match: PrefixMatch) -> int:
        """Return the slot for a sequence, given the prefix that it reuses."""
        free = [slot for slot in range(self.count) if slot not in self._running]
        source = match.source
        others = [slot for slot in free if slot != source]
        if source in free and (not others or self._is_cheap(match, others)):
            assert source is not None  # noqa: S101 - None is no slot
            return source
        return min(others, key=self._cost)

    def _is_cheap(self, match: PrefixMatch, others: Iterable[int]) -> bool:
        """Whether reusing a slot with its content loses little."""
        assert match.source is not None  # noqa: S101 - asked of a source only
        cached = len(self._cached[match.source].tokens)
        if cached - match.length > cached * _LOSABLE:
            return False
        return self._gaps(match.source) <= min(self._gaps(slot) for slot in others)

    def _cost(self, slot: int) -> tuple[int, int, int]:
        cached = self._cached.get(slot)
        return (self._gaps(slot), cached.used_at + 1 if cached else 0, slot)

    def _gaps(self, slot: int) -> int:
        """Return how many more groups of neighbours there are if this slot runs."""
        if not self._is_split or not self._running:
            return 0
        return 1 - (slot - 1 in self._running) - (slot + 1 in self._running)

    def _vacate(self, slot: int, *, spare_not: int | None = None) -> list[KVOp]:
        """Empty a slot; its content moves to a slot that is needed less."""
        if slot not in self._cached:
            return []
        if not self._is_split:
            return [self._evict(slot)]
        free = [
            other
            for other in range(self.count)
            if other not in self._running and other not in (slot, spare_not)
        ]
        spare = min(free, key=self._cost, default=None)
        if spare is None or self._cost(spare)[1] > self._cost(slot)[1]:
            return [self._evict(slot)]
        ops: list[KVOp] = [self._evict(spare)] if spare in self._cached else []
        self._cached[spare] = cached = self._cached.pop(slot)
        self._tree.remove(slot)
        self._tree.put(spare, cached.tokens, cached.scope)
        self.cells.move(slot, spare)
        return [*ops, Move(slot, spare)]

    def compact(self, active: Iterable[Sequence]) -> list[KVOp]:
        """Move the sequences of the next step into neighbouring slots, if cheap.

        The smallest group moves to the ends of the largest one.
        """
        if not self._is_split:
            return []
        groups = _groups(sorted(_slot(sequence) for sequence in active))
        if len(groups) < 2:
            return []
        home = max(groups, key=lambda group: (len(group), -group[0]))
        groups.remove(home)
        stray = min(groups, key=lambda group: (len(group), -group[0]))
        if len(stray) > _MAX_MOVES:
            return []
        ops: list[KVOp] = []
        low, high = home[0], home[-1]
        for slot in stray:
            if self._is_free(low - 1):
                low = target = low - 1
            elif self._is_free(high + 1):
                high = target = high + 1
            else:
                break
            ops += [*self._vacate(target), *self._relocate(slot, target)]
        return ops

    def _is_free(self, slot: int) -> bool:
        return 0 <= slot < self.count and slot not in self._running

    def _relocate(self, slot: int, target: int) -> list[KVOp]:
        sequence = self._running.pop(slot)
        self._running[target] = sequence
        sequence.slot = target
        self._tree.remove(slot)
        self._tree.put(target, list(sequence.tokens), self.scope(sequence))
        self.cells.move(slot, target)
        return [Move(slot, target)] if sequence.num_computed else []

    def lengths(self) -> dict[int, int]:
        """Return how many positions each slot must have in the real cache."""
        return {slot: self.cells.length(slot) for slot in range(self.count)}

    def check_integrity(self) -> None:
        """Raise AssertionError unless slots and cells are consistent."""
        self.cells.check_integrity()
        both = self._running.keys() & self._cached.keys()
        if both:
            raise AssertionError(f"slots {both} run and are cached")
        if self._tree.slots() != self._running.keys() | self._cached.keys():
            raise AssertionError("the prefix tree knows other slots")
        for slot in range(self.count):
            is_used = slot in self._running or slot in self._cached
            expected = self._length(slot) if is_used else 0
            if self.cells.length(slot) != expected:
                raise AssertionError(f"slot {slot} has cells without tokens")
        for slot, sequence in self._running.items():
            if sequence.slot != slot:
                raise AssertionError(f"slot {slot} belongs to two sequences")


def _slot(sequence: Sequence) -> int:
    if sequence.slot is None:
        raise ValueError(f"{sequence.request_id} has no slot")
    return sequence.slot


def _groups(slots: list[int]) -> list[list[int]]:
    """Return the runs of neighbours in an ascending list."""
    if not slots:
        return []
    groups = [[slots[0]]]
    for before, slot in pairwise(slots):
        if slot == before + 1:
            groups[-1].append(slot)
        else:
            groups.append([slot])
    return groups
