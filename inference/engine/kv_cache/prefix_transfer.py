"""Transfers prefixes between the KV cache and disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.media.spans import is_media

if TYPE_CHECKING:
    from collections.abc import Sequence as Tokens

    from inference.engine.backend import Backend
    from inference.engine.kv_cache.slots import Slots
    from inference.engine.prefix_cache.disk_cache import DiskCache, StoredPrefix
    from inference.engine.prefix_cache.scope import PrefixScope
    from inference.engine.sequence import Sequence
    from inference.engine.telemetry import Telemetry

#: How long a step without other work waits for a prefix from disk.
_READ_WAIT_S = 0.01
#: How soon to check again whether a prefix is written, to write the next one.
_WRITE_WAIT_S = 0.05


class DiskPrefixes:
    """Loads prefixes from disk into slots, and stores cached ones.

    Without a disk cache it does nothing.
    """

    def __init__(
        self,
        disk: DiskCache | None,
        backend: Backend,
        slots: Slots,
        telemetry: Telemetry,
    ) -> None:
        self._disk = disk
        self._backend = backend
        self._slots = slots
        self._telemetry = telemetry

    def look_up(self, sequence: Sequence) -> StoredPrefix | None:
        """Start to read a prefix of the sequence that is longer than in the cache."""
        if self._disk is None or sequence.params.prompt_logprobs is not None:
            return None
        if sequence.request.media_spans:
            # Files hold the tokens of a vocabulary, and no pictures.
            return None
        return self._disk.look_up(
            sequence.tokens,
            self._slots.scope(sequence),
            self._slots.layout,
            beyond=self._slots.find(sequence).length,
        )

    def load(self, sequence: Sequence, slot: int, length: int) -> bool:
        """Fill an empty slot with the prefix that was read; False, still empty, if not.

        The first ``length`` tokens of the prefix are the sequence's.
        """
        stored, sequence.stored = sequence.stored, None
        state = stored.state if stored is not None else b""
        if not state or not self._backend.restore(slot, state):
            return False
        if self._backend.length(slot) < length:
            self._backend.clear(slot)
            return False
        if not self._backend.keep(slot, length):
            return False
        self._telemetry.prefix_loaded(tokens=length, size=len(state))
        return True

    def store(
        self,
        slot: int,
        tokens: Tokens[int],
        scope: PrefixScope,
        *,
        is_idle: bool = False,
    ) -> bool:
        """Start to write a cached prefix; return whether it is worth writing."""
        if self._disk is None or any(map(is_media, tokens)):
            return False
        size = self._disk.offer(
            tokens,
            scope,
            self._slots.layout,
            lambda: self._backend.save(slot),
            is_idle=is_idle,
        )
        if size:
            self._telemetry.prefix_stored(size)
        return bool(size)

    def store_one(self) -> float | None:
        """Start to write a prefix while the engine is idle.

        Returns the seconds after which to call again; None if all are written.
        """
        if self._disk is None:
            return None
        if self._disk.is_writing or any(
            self.store(*each, is_idle=True) for each in self._slots.cached()
        ):
            return _WRITE_WAIT_S
        return None

    def wait(self) -> None:
        """Wait briefly for a prefix that is being read, if there is one."""
        if self._disk is not None:
            self._disk.wait(_READ_WAIT_S)

    def close(self) -> None:
        """End after the current write. Idempotent."""
        if self._disk is not None:
            self._disk.close()
