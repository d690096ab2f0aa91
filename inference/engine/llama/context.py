"""A llama.cpp context and its KV cells, slot by slot."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

from inference.engine.errors import DecodeError
from inference.engine.llama.bindings.loading import make_context

if TYPE_CHECKING:
    from inference.engine.config.cache_layout import CacheLayout
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog
    from inference.engine.step import StepItem

_BYTES = ctypes.POINTER(ctypes.c_uint8)


class KVCells:
    """A model's context of one layout. A slot is a seq_id of llama.cpp's."""

    def __init__(
        self, model: Any, config: EngineConfig, layout: CacheLayout, log: LlamaLog
    ) -> None:
        """Make the context, its cells empty. Raises ModelLoadError."""
        self.layout = layout
        self._log = log
        self._can_cut = can_cut(model)
        self._n_swa: int = llama_cpp.llama_model_n_swa(model)
        #: The slot that was saved last, and its state, until any cells change.
        self._saved: tuple[int, bytes] | None = None
        self.context: Any = make_context(model, config, layout, log)
        self._memory = llama_cpp.llama_get_memory(self.context)

    def context_apart(self, _item: StepItem) -> Any | None:
        """Return another context, which computes this item in its slot 0.

        None if ``context`` computes it, together with the step's other items.
        """
        return None

    def clear(self, slot: int) -> None:
        """Empty a slot."""
        self._saved = None
        llama_cpp.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def keep(self, slot: int, length: int) -> bool:
        """Keep the first ``length`` cells of a slot; False if that leaves none.

        A recurrent state cannot go back, and a sliding window may have moved past
        what the next token needs to see: llama.cpp refuses, or the oldest position
        that is left is too new.
        """
        self._saved = None
        memory = self._memory
        if llama_cpp.llama_memory_seq_rm(memory, slot, length, -1):
            oldest_needed = max(0, length - self._n_swa) if self._n_swa else 0
            first = llama_cpp.llama_memory_seq_pos_min(memory, slot)
            is_whole = not self._can_cut or first <= oldest_needed
            if is_whole and self.length(slot) == length:
                return True
        self.clear(slot)
        return False

    def fork(self, source: int, target: int, length: int) -> bool:
        """Copy the first ``length`` cells of a slot to an empty one; False if not.

        Between the streams of a split cache llama.cpp copies whole streams, used or
        not; a saved state has only the used cells, and is saved once for several
        copies.
        """
        if not self.layout.is_split:
            llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, length)
            return self.keep(target, length)
        if self._saved is None or self._saved[0] != source:
            self._saved = (source, self.save(source))
        saved = self._saved
        done = self.restore(target, saved[1]) and self.keep(target, length)
        self._saved = saved
        return done

    def move(self, source: int, target: int) -> None:
        """Move all cells of a slot to an empty one. Raises DecodeError."""
        if not self.restore(target, self.save(source)):
            raise DecodeError("llama.cpp cannot move a sequence. " + self._log.tail())
        self.clear(source)

    def save(self, slot: int) -> bytes:
        """Return a copy of a slot's cells."""
        size = llama_cpp.llama_state_seq_get_size(self.context, slot)
        # Not a ctypes array: that would be filled with zeros first.
        buffer = np.empty(size, np.uint8)
        target = buffer.ctypes.data_as(_BYTES)
        used = llama_cpp.llama_state_seq_get_data(self.context, target, size, slot)
        return buffer[:used].tobytes()

    def restore(self, slot: int, state: bytes | bytearray) -> bool:
        """Fill an empty slot with saved cells; False, with it empty, if it fails."""
        self._saved = None
        source = np.frombuffer(state, np.uint8).ctypes.data_as(_BYTES)
        if llama_cpp.llama_state_seq_set_data(self.context, source, len(state), slot):
            return True
        self.clear(slot)
        return False

    def length(self, slot: int) -> int:
        """Return how many positions the slot has in llama.cpp."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, slot)) + 1

    def computed(self, item: StepItem) -> None:
        """Note what a step has put into a slot."""

    def settle(self, _slot: int) -> None:
        """Have this slot's cells in ``context``."""

    def compact(self) -> bool:
        """Give back the memory of cells that are not in use any more.

        False if llama.cpp does not take a slot back: then the cells are undefined. In a
        unified cache, where slots share cells, only that of an empty one.
        """
        self._saved = None
        used = [slot for slot in range(self.layout.n_seq_max) if self.length(slot)]
        if used and not self.layout.is_split:
            return True
        saved = {slot: self.save(slot) for slot in used}
        llama_cpp.llama_memory_clear(self._memory, True)
        return all(self.restore(slot, state) for slot, state in saved.items())

    def will_change(self) -> None:
        """Note that a step is about to change cells."""
        self._saved = None

    def free(self) -> None:
        """Free the context. Idempotent."""
        self._saved = None
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        self.context = None


def can_cut(model: Any) -> bool:
    """Whether a sequence's end can be dropped, which a recurrent state cannot do."""
    return not (
        llama_cpp.llama_model_is_recurrent(model)
        or llama_cpp.llama_model_is_hybrid(model)
    )
