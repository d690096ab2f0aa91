"""Images in a context: how they are computed, and the positions that they take.

To most models a piece of an image is a token like any other, at the next position. To
those with positions in several dimensions (M-RoPE: Qwen's) all pieces of an image are
at one time, each at its row and column, and the text goes on as many positions later
as the longer side has. The engine counts tokens; ``CellsOfImages`` knows their places.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.llama.bindings.embedding_batch import EmbeddingBatch
from inference.engine.llama.context import KVCells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from inference.engine.media.spans import MediaSpan
    from inference.engine.step import StepItem

#: Of four positions the last is unused.
_USED_DIMENSIONS = 3
#: Before a saved state: the tokens in it, and its images; of each its first token, its
#: tokens and its positions.
_COUNTS = struct.Struct("<II")
_EXTENT = struct.Struct("<III")


def decode_span(context: Any, item: StepItem, span: MediaSpan) -> int:
    """Compute an item whose tokens are all of one span; return llama_decode's code."""
    first = item.start - span.start
    rows = span.embeddings[first : first + len(item.tokens)]
    spans = item.sequence.request.media_spans
    batch = EmbeddingBatch(
        rows,
        _positions(span, position(spans, span.start), first, len(rows)),
        item.sequence.slot or 0,
        has_output=item.samples,
    )
    if span.is_causal:
        return int(llama_cpp.llama_decode(context, batch.raw))
    llama_cpp.llama_set_causal_attn(context, False)
    try:
        return int(llama_cpp.llama_decode(context, batch.raw))
    finally:
        llama_cpp.llama_set_causal_attn(context, True)


def _positions(
    span: MediaSpan, begin: int, first: int, count: int
) -> NDArray[np.generic]:
    """Return the positions of ``count`` pieces from ``first`` on."""
    if span.positions is None:
        return np.arange(begin + first, begin + first + count)
    found = span.positions[:, first : first + count].copy()
    found[:_USED_DIMENSIONS] += begin
    return found  # type: ignore[no-any-return]


def position(spans: Sequence[MediaSpan], token: int) -> int:
    """Return the position of a token of text, or of the first one of an image."""
    saved = sum(
        len(each.embeddings) - each.num_positions for each in spans if each.end <= token
    )
    return token - saved


@dataclass(frozen=True, slots=True)
class _Extent:
    """An image in a slot: its first token, its tokens, its positions."""

    start: int
    count: int
    num_positions: int

    @property
    def end(self) -> int:
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class _Content:
    """The tokens of a slot, and the images among them."""

    length: int = 0
    images: tuple[_Extent, ...] = ()

    def cut(self, length: int) -> _Content:
        images = tuple(each for each in self.images if each.end <= length)
        return _Content(length, images)

    def position(self, token: int) -> int:
        return token - sum(
            each.count - each.num_positions for each in self.images if each.end <= token
        )

    def pack(self) -> bytes:
        start = _COUNTS.pack(self.length, len(self.images))
        return start + b"".join(
            _EXTENT.pack(each.start, each.count, each.num_positions)
            for each in self.images
        )


class CellsOfImages(KVCells):
    """Cells of a model for which the pieces of an image share positions."""

    def __init__(self, *arguments: Any) -> None:
        """Make the context, as KVCells does. Raises ModelLoadError."""
        super().__init__(*arguments)
        #: Of the slots with images.
        self._contents: dict[int, _Content] = {}

    def computed(self, item: StepItem) -> None:
        """Note what a step has put into a slot."""
        spans = item.sequence.request.media_spans
        if not spans:
            return
        end = item.start + len(item.tokens)
        self._contents[item.sequence.slot or 0] = _Content(
            end,
            tuple(
                _Extent(each.start, len(each.embeddings), each.num_positions)
                for each in spans
                if each.start < end
            ),
        )

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self._contents.pop(slot, None)
        super().clear(slot)

    def keep(self, slot: int, length: int) -> bool:
        """As in KVCells. False for a length within an image."""
        content = self._contents.get(slot)
        if content is None:
            return super().keep(slot, length)
        if any(each.start < length < each.end for each in content.images):
            self.clear(slot)
            return False
        at = content.position(length)
        self._saved = None
        if length > content.length or not llama_cpp.llama_memory_seq_rm(
            self._memory, slot, at, -1
        ):
            self.clear(slot)
            return False
        self._note(slot, content.cut(length))
        return True

    def fork(self, source: int, target: int, length: int) -> bool:
        """As in KVCells."""
        content = self._contents.get(source)
        if content is None or self.layout.is_split:
            return super().fork(source, target, length)
        end = content.position(length)
        llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, end)
        self._note(target, content.cut(length))
        return True

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells, and of what is known of them."""
        content = self._contents.get(slot, _Content())
        return content.pack() + super().save(slot)

    def restore(self, slot: int, state: bytes | bytearray) -> bool:
        """As in KVCells."""
        length, count = _COUNTS.unpack_from(state)
        end = _COUNTS.size + count * _EXTENT.size
        images = tuple(
            _Extent(*each) for each in _EXTENT.iter_unpack(state[_COUNTS.size : end])
        )
        if not super().restore(slot, state[end:]):
            return False
        self._note(slot, _Content(length, images))
        return True

    def length(self, slot: int) -> int:
        """Return how many tokens the slot has."""
        content = self._contents.get(slot)
        return super().length(slot) if content is None else content.length

    def _note(self, slot: int, content: _Content) -> None:
        """Remember the images of a slot; without any, tokens are positions."""
        if content.images:
            self._contents[slot] = content
        else:
            self._contents.pop(slot, None)
