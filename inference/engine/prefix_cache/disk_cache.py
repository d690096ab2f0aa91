"""Caches prefixes on disk, where they outlive their worker.

The engine thread only looks prefixes up in memory; other threads read and write the
files. A prefix is copied out of the KV cache when it is evicted, or when the engine is
idle.
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

from inference.engine.prefix_cache.prefix_files import PrefixFolder, PrefixHeader
from inference.engine.prefix_cache.prefix_tree import PrefixTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.prefix_cache.scope import PrefixScope

logger = logging.getLogger(__name__)

#: Shorter prefixes are computed about as fast as they are read.
MIN_TOKENS = 256
#: A prefix is not written if a file has all of it except this many tokens.
_SLACK = 32
#: While requests run, states are copied for at most one second in this many.
_PAUSE = 20


@dataclass(slots=True, eq=False)
class StoredPrefix:
    """A prefix being read from disk; ``length`` of its tokens are a sequence's."""

    length: int
    reading: Future[bytes | None]

    @property
    def is_done(self) -> bool:
        """Whether the read has ended or failed."""
        return self.reading.done()

    @property
    def state(self) -> bytes:
        """The state that was read; empty if the read failed."""
        is_read = self.reading.done() and not self.reading.exception()
        return (self.reading.result() if is_read else None) or b""


class DiskCache:
    """The prefixes of one model on disk. Used by the engine thread only."""

    def __init__(
        self,
        folder: PrefixFolder,
        *,
        can_cut: bool = True,
        adapters: dict[str, str] | None = None,
    ) -> None:
        """``adapters`` has the digest of each adapter's file, by its name.

        Without ``can_cut`` only a sequence with all tokens of a state can use it.
        """
        self._folder = folder
        self._can_cut = can_cut
        self._adapters = adapters or {}
        self._tree = PrefixTree()
        self._headers: dict[int, PrefixHeader] = {}
        self._next = 0
        self._reader = ThreadPoolExecutor(1, "prefix-reader")
        self._writer = ThreadPoolExecutor(1, "prefix-writer")
        self._reads: dict[Future[bytes | None], int] = {}
        self._write: Future[PrefixHeader | None] | None = None
        self._paused_until = 0.0
        folder.remove_lost()
        for header in folder.headers():
            self._add(header)

    @property
    def is_writing(self) -> bool:
        """Whether a prefix is being written."""
        self._settle()
        return self._write is not None

    def look_up(
        self,
        tokens: list[int],
        scope: PrefixScope,
        layout: CacheLayout,
        *,
        beyond: int,
    ) -> StoredPrefix | None:
        """Begin to read the longest stored prefix; None if none is worth it.

        ``beyond`` tokens are in the KV cache already.
        """
        self._settle()
        limit = len(tokens) - 1
        best, length = None, beyond + MIN_TOKENS - 1
        for depth, entries in self._tree.match(tokens, self._digest(scope, layout)):
            usable = min(depth, limit)
            for entry in entries:
                is_whole = usable == len(self._headers[entry].tokens)
                if usable > length and (self._can_cut or is_whole):
                    best, length = entry, usable
        if best is None:
            return None
        header = self._headers[best]
        reading = self._reader.submit(self._folder.read, header.name, header.scope)
        self._reads[reading] = best
        return StoredPrefix(length, reading)

    def wait(self, timeout_s: float) -> None:
        """Wait until a read ends, if one is running."""
        pending = [each for each in self._reads if not each.done()]
        if pending:
            wait(pending, timeout_s, return_when="FIRST_COMPLETED")

    def offer(
        self,
        tokens: Sequence[int],
        scope: PrefixScope,
        layout: CacheLayout,
        save: Callable[[], bytes],
        *,
        is_idle: bool,
    ) -> int:
        """Begin to write a prefix if it is worth it; return its bytes, 0 if it is not.

        Only one is written at a time, so that states do not pile up in memory. ``save``
        returns the state, which takes a millisecond for each MiB: unless the engine
        ``is_idle``, prefixes that come too soon after another are not saved.
        """
        if len(tokens) < MIN_TOKENS or self.is_writing:
            return 0
        start = time.monotonic()
        if not is_idle and start < self._paused_until:
            return 0
        kept, digest = list(tokens), self._digest(scope, layout)
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
            [self._headers[e].name for e in shorter],
        )
        for entry in shorter:
            self._forget(entry)
        return len(state)

    def close(self) -> None:
        """End the threads after the current write. Idempotent."""
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()

    def _digest(self, scope: PrefixScope, layout: CacheLayout) -> bytes:
        """Return a digest of the owner and what states depend on, except the model."""
        # llama.cpp restores a state only into a cache with as many streams.
        streams = layout.n_seq_max if layout.is_split else 1
        used = [
            [self._adapters.get(name, name), scale] for name, scale in scope.adapters
        ]
        return hashlib.sha256(
            json.dumps([scope.owner, streams, used]).encode()
        ).digest()

    def _covered(self, tokens: list[int], scope: bytes) -> bool:
        deepest = max(
            (depth for depth, _ in self._tree.match(tokens, scope)), default=0
        )
        return deepest > len(tokens) - _SLACK

    def _shorter(self, tokens: list[int], scope: bytes) -> list[int]:
        """Return the stored prefixes of a prefix, which are useless beside it."""
        found = self._tree.match(tokens, scope)
        return [
            entry
            for depth, entries in found
            for entry in entries
            if len(self._headers[entry].tokens) == depth
        ]

    def _add(self, header: PrefixHeader) -> None:
        self._tree.put(self._next, header.tokens, header.scope)
        self._headers[self._next] = header
        self._next += 1

    def _forget(self, entry: int) -> None:
        if self._headers.pop(entry, None) is not None:
            self._tree.remove(entry)

    def _settle(self) -> None:
        """Apply the results of finished reads and writes."""
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
            header = written.result()
            if header is not None:
                self._add(header)

    def _write_file(
        self, scope: bytes, tokens: list[int], state: bytes, replaced: list[str]
    ) -> PrefixHeader | None:
        name = self._folder.write(scope, tokens, state)
        self._folder.remove(replaced)
        return None if name is None else PrefixHeader(name, scope, tokens)


def open_disk_cache(config: EngineConfig, *, can_cut: bool) -> DiskCache | None:
    """Return a model's prefixes on disk, None if it has none.

    A folder that cannot be used is logged, and the model serves without it.
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
    """Return a digest of all that the content of a model's KV cells depends on."""
    parts = [
        config.fingerprint,
        config.cache_type_k,
        config.cache_type_v,
        config.flash_attention,
        config.swa_full,
        version("llama-cpp-python"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()
