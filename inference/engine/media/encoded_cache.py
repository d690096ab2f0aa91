"""Keeps encoded images: the next turn of a conversation has them again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

#: Bytes of encoded images that a worker keeps: an image of 256 tokens of a model of 7B
#: takes 3.5 MiB.
KEPT_BYTES = 64 * 1024 * 1024


class EncodedCache:
    """Embeddings by key, up to ``max_bytes`` of them.

    The least recently used go first.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable) -> Any | None:
        """Return the embeddings of a key, None if they are not kept."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, embeddings: Any) -> None:
        """Keep embeddings, unless they alone are more than is kept."""
        if embeddings.nbytes > self._max_bytes:
            return
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= old.nbytes
        self._kept[key] = embeddings
        self._bytes += embeddings.nbytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
