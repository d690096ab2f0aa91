"""Cached prefixes that outlive their worker: on disk, found by their tokens.

The engine thread only looks them up, in memory; files are read and written on threads
of their own. A prefix is copied out of the KV cache when it makes room for another, or
when the engine is idle.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from inference.engine.prefix_cache.prefix_files import PrefixFolder, PrefixHead
from inference.engine.prefix_cache.prefix_tree import PrefixTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.engine.adapters import Realm
    from inference.engine.config import EngineConfig
    from inference.engine.kv_cache.slots import Layout

logger = logging.getLogger(__name__)

#: Shorter prefixes are computed as fast as they are read.
MIN_TOKENS = 256
#: A prefix that a file has up to so many tokens need not be written.
_SLACK = 32
#: While requests run, copying takes at most this share of the time: 1 of so many.
_PAUSE = 20


@dataclass(slots=True, eq=False)
class StoredPrefix:
    """A state on its way from disk; its first ``length`` tokens are a sequence's."""

    length: int
    reading: Future[bytes | None]

    @property
    def is_done(self) -> bool:
        """Whether it has come, or cannot."""
        return self.reading.done()

    @property
    def state(self) -> bytes:
        """What was read; nothing, if it could not be."""
        is_read = self.reading.done() and not self.reading.exception()
        return (self.reading.result() if is_read else None) or b""


class DiskCache:
    """The prefixes of one model that are on disk. Used by the engine thread only."""

    def __init__(
        self,
        folder: PrefixFolder,
        *,
        can_cut: bool = True,
        adapters: dict[str, str] | None = None,
    ) -> None:
        """``adapters`` has the digest of each adapter's file, by its name.

        Where states cannot be cut, only one that a sequence has all of is of use.
        """
        self._folder = folder
        self._can_cut = can_cut
        self._adapters = adapters or {}
        self._tree = PrefixTree()
        self._heads: dict[int, PrefixHead] = {}
        self._next = 0
        self._reader = ThreadPoolExecutor(1, "prefix-reader")
        self._writer = ThreadPoolExecutor(1, "prefix-writer")
        self._reads: dict[Future[bytes | None], int] = {}
        self._write: Future[PrefixHead | None] | None = None
        self._paused_until = 0.0
        folder.remove_lost()
        for head in folder.heads():
            self._add(head)

    @property
    def is_writing(self) -> bool:
        """Whether a prefix is on its way to disk."""
        self._settle()
        return self._write is not None

    def look_up(
        self,
        tokens: list[int],
        realm: Realm,
        layout: Layout,
        *,
        beyond: int,
    ) -> StoredPrefix | None:
        """Begin to read the longest prefix that there is; None if none is worth it.

        ``beyond`` tokens are there without.
        """
        self._settle()
        limit = len(tokens) - 1
        best, length = None, beyond + MIN_TOKENS - 1
        for depth, entries in self._tree.match(tokens, self._realm(realm, layout)):
            usable = min(depth, limit)
            for entry in entries:
                is_whole = usable == len(self._heads[entry].tokens)
                if usable > length and (self._can_cut or is_whole):
                    best, length = entry, usable
        if best is None:
            return None
        head = self._heads[best]
        reading = self._reader.submit(self._folder.read, head.name, head.realm)
        self._reads[reading] = best
        return StoredPrefix(length, reading)

    def wait(self, timeout_s: float) -> None:
        """Wait until something was read, if something is being read."""
        pending = [each for each in self._reads if not each.done()]
        if pending:
            wait(pending, timeout_s, return_when="FIRST_COMPLETED")

    def offer(
        self,
        tokens: Sequence[int],
        realm: Realm,
        layout: Layout,
        save: Callable[[], bytes],
        *,
        is_idle: bool,
    ) -> int:
        """Have a prefix written that is worth it; return its bytes, 0 if it is not.

        Not either while another is being written: nothing piles up in memory. ``save``
        returns its state, which takes a millisecond for each MiB; unless the engine
        ``is_idle`` that is a small share of the time only.
        """
        if len(tokens) < MIN_TOKENS or self.is_writing:
            return 0
        start = time.monotonic()
        if not is_idle and start < self._paused_until:
            return 0
        kept, digest = list(tokens), self._realm(realm, layout)
        if self._covered(kept, digest):
            return 0
        state = save()
        now = time.monotonic()
        self._paused_until = now + _PAUSE * (now - start)
        shorter = self._shorter(kept, digest) if self._can_cut else []
        self._write = self._writer.submit(
            self._write_file,
            digest,
            kept,
            state,
            [self._heads[e].name for e in shorter],
        )
        for entry in shorter:
            self._forget(entry)
        return len(state)

    def close(self) -> None:
        """End the threads; what is being written is finished. Idempotent."""
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()

    def _realm(self, realm: Realm, layout: Layout) -> bytes:
        """Return the digest of what cells depend on besides the model, and of whose."""
        owner, adapters = realm
        # llama.cpp restores a state only where there are as many streams.
        streams = layout.n_seq_max if layout.is_split else 1
        used = [[self._adapters.get(name, name), scale] for name, scale in adapters]
        return hashlib.sha256(json.dumps([owner, streams, used]).encode()).digest()

    def _covered(self, tokens: list[int], realm: bytes) -> bool:
        deepest = max(
            (depth for depth, _ in self._tree.match(tokens, realm)), default=0
        )
        return deepest > len(tokens) - _SLACK

    def _shorter(self, tokens: list[int], realm: bytes) -> list[int]:
        """Return the prefixes of a prefix, which are of no use beside it."""
        found = self._tree.match(tokens, realm)
        return [
            entry
            for depth, entries in found
            for entry in entries
            if len(self._heads[entry].tokens) == depth
        ]

    def _add(self, head: PrefixHead) -> None:
        self._tree.put(self._next, head.tokens, head.realm)
        self._heads[self._next] = head
        self._next += 1

    def _forget(self, entry: int) -> None:
        if self._heads.pop(entry, None) is not None:
            self._tree.remove(entry)

    def _settle(self) -> None:
        """Take note of what was read and written."""
        for reading in [each for each in self._reads if each.done()]:
            entry = self._reads.pop(reading)
            if reading.exception() or reading.result() is None:
                self._forget(entry)
        if self._write is not None and self._write.done():
            written, self._write = self._write, None
            error = written.exception()
            if error is not None:
                logger.warning("A prefix could not be written to disk: %s", error)
                return
            head = written.result()
            if head is not None:
                self._add(head)

    def _write_file(
        self, realm: bytes, tokens: list[int], state: bytes, replaced: list[str]
    ) -> PrefixHead | None:
        name = self._folder.write(realm, tokens, state)
        self._folder.remove(replaced)
        return None if name is None else PrefixHead(name, realm, tokens)


def open_disk_cache(config: EngineConfig, *, can_cut: bool) -> DiskCache | None:
    """Return the prefixes on disk of a model, None if there are to be none.

    A folder that cannot be used is told in the log: the model serves without it.
    """
    if not config.cache_dir or not config.is_generative:
        return None
    try:
        folder = PrefixFolder(
            Path(config.cache_dir),
            model=cells_digest(config),
            max_bytes=config.cache_bytes,
        )
        return DiskCache(
            folder,
            can_cut=can_cut,
            adapters={each.name: each.fingerprint for each in config.adapters},
        )
    except OSError:
        logger.exception("No prefixes are kept on disk: %s", config.cache_dir)
        return None


def cells_digest(config: EngineConfig) -> bytes:
    """Return a digest of what decides how a model's KV cells are computed and kept."""
    parts = [
        config.fingerprint,
        config.cache_type_k,
        config.cache_type_v,
        config.flash_attention,
        config.swa_full,
        version("llama-cpp-python"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
