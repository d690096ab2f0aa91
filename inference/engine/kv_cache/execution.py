"""Executes operations on the real KV cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.kv_cache.operations import (
    Clear,
    Evict,
    Fork,
    KVOp,
    LoadPrefix,
    Move,
    Restore,
    Reuse,
    Save,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inference.engine.backend import Backend
    from inference.engine.kv_cache.prefix_transfer import DiskPrefixes
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.telemetry import Telemetry


class KVCacheExecutor:
    """Applies the operations that ``Slots`` returned to the backend's cache.

    If the real cache cannot execute one, ``Slots`` is corrected, and the sequence is
    computed again.
    """

    def __init__(
        self,
        backend: Backend,
        slots: Slots,
        disk: DiskPrefixes,
        telemetry: Telemetry,
    ) -> None:
        self._backend = backend
        self._slots = slots
        self._disk = disk
        self._telemetry = telemetry
        for slot in range(slots.count):
            backend.clear(slot)

    def apply(self, ops: Iterable[KVOp]) -> None:
        """Execute operations in order."""
        backend, slots = self._backend, self._slots
        for op in ops:
            match op:
                case Clear(slot):
                    backend.clear(slot)
                case Evict(slot, cells, tokens, scope):
                    self._disk.store(slot, tokens, scope)
                    backend.clear(slot)
                    self._telemetry.evicted(cells)
                case Move(source, target):
                    backend.move(source, target)
                case Reuse(sequence, slot, length):
                    if not backend.keep(slot, length):
                        slots.forget(sequence)
                case Fork(sequence, source, slot, length):
                    # The source may itself have lost its cells just before.
                    is_there = backend.length(source) >= length
                    if not is_there or not backend.fork(source, slot, length):
                        slots.forget(sequence)
                case LoadPrefix(sequence, slot, length):
                    if not self._disk.load(sequence, slot, length):
                        slots.forget(sequence)
                case Save(sequence, slot):
                    sequence.saved = backend.save(slot)
                case Restore(sequence, slot):
                    state, sequence.saved = sequence.saved or b"", None
                    if not backend.restore(slot, state):
                        slots.forget(sequence)

    def check_integrity(self) -> None:
        """Raise AssertionError unless the real cache agrees with ``Slots``."""
        for slot, length in self._slots.lengths().items():
            real = self._backend.length(slot)
            if real != length:
                raise AssertionError(f"slot {slot} has {real} cells, not {length}")
