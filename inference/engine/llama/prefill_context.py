"""A second context for short pieces of long prompts, without flash attention.

Beside running streams a prompt is computed in pieces of some 16 to 48 tokens, so that
no stream has to wait; where another key is expected they are shorter. ggml-cpu
computes flash attention row by row for fewer than 64 tokens of a sequence, and in
tiles from 64 on; without flash attention it multiplies matrices, which is as fast for
16 rows as for 64. The deeper a prompt is, the more that counts: at 1,400 tokens a piece
of 16 takes 75 ms with it and 39 without. Decodes, one row for each sequence, are faster
with it. So such pieces have a context without, and their cells are brought over once,
when the prompt is done.

Everything else sees ``KVCells``. The scheduler knows that it is there, by
``Backend.has_prefill_context``, and plans short pieces: by their times alone it would
never begin to. ``python -m benchmarks interference`` measures what it gains
(docs/adr/0010).
"""

from __future__ import annotations

import ctypes
import logging
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import llama_cpp

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.config.engine_config import (
    CPU_TILE,
    PREFILL_CONTEXT_REST,
    PREFILL_CONTEXT_SEQUENCES,
)
from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.llama.bindings.loading import is_on_cpu, make_context
from inference.engine.llama.context import KVCells
from inference.engine.llama.transposed_state import transposed

if TYPE_CHECKING:
    from collections.abc import Callable

    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.llama.bindings.log import LlamaLog
    from inference.engine.step import StepItem

logger = logging.getLogger(__name__)

#: Up to this depth a chunk is as fast with flash attention.
_DEPTH = 256
_ROPES_WITH_MORE_POSITIONS = (
    llama_cpp.LLAMA_ROPE_TYPE_MROPE,
    llama_cpp.LLAMA_ROPE_TYPE_IMROPE,
    llama_cpp.LLAMA_ROPE_TYPE_VISION,
)


def can_prefill_apart(model: Any, config: EngineConfig) -> bool:
    """Whether chunks of this model's prompts can be computed in a second context."""
    return (
        config.may_prefill_apart
        and is_on_cpu(config)
        and not llama_cpp.llama_model_is_recurrent(model)
        and not llama_cpp.llama_model_is_hybrid(model)
        and not llama_cpp.llama_model_n_swa(model)
        and not has_more_positions(model)
    )


def has_more_positions(model: Any) -> bool:
    """Whether a token of this model has a position in each of several dimensions."""
    return llama_cpp.llama_model_rope_type(model) in _ROPES_WITH_MORE_POSITIONS


def pays(layout: CacheLayout) -> bool:
    """Whether the memory of one more sequence is small beside the cache's."""
    return layout.n_seq_max >= PREFILL_CONTEXT_SEQUENCES


class PrefillContext:
    """The second context. It holds the cells of at most one slot, ``slot``.

    It is made when it is first needed: a model serves sooner without it.
    """

    def __init__(
        self, model: Any, config: EngineConfig, layout: CacheLayout, log: LlamaLog
    ) -> None:
        self._n_streams = layout.n_seq_max
        self.slot: int | None = None
        self.context: Any = None
        self._memory: Any = None
        #: None once it has been called, whatever came of it.
        self._make: Callable[[], Any] | None = partial(
            make_context,
            model,
            config.of_prefill_context,
            CacheLayout(layout.n_ctx, 1, layout.n_ctx, is_split=True),
            log,
        )

    def open(self) -> bool:
        """Make the context unless it is there; False if there is no memory for it.

        That is not tried again: prompts are then computed as without it.
        """
        if self._make is not None:
            make, self._make = self._make, None
            try:
                self.context = make()
            except ModelLoadError as error:
                logger.warning("No prompts are computed apart: %s", error.message)
            else:
                self._memory = llama_cpp.llama_get_memory(self.context)
        return self.context is not None

    @property
    def length(self) -> int:
        """The number of positions in it."""
        return int(llama_cpp.llama_memory_seq_pos_max(self._memory, 0)) + 1

    def suits(self, slot: int, start: int, count: int, rest: int) -> bool:
        """Whether ``count`` tokens of a slot, from ``start`` on, are faster here.

        ``rest`` tokens of the prompt are not computed yet. One that began here stays
        until it is complete: moving cells back and forth takes longer than it saves.
        """
        if not 1 < count < CPU_TILE or start < _DEPTH:
            return False
        return self.slot == slot or (self.slot is None and rest >= PREFILL_CONTEXT_REST)

    def clear(self) -> None:
        """Empty it."""
        self.slot = None
        llama_cpp.llama_memory_seq_rm(self._memory, 0, -1, -1)

    def keep(self, length: int) -> None:
        """Drop what is at ``length`` and beyond."""
        llama_cpp.llama_memory_seq_rm(self._memory, 0, length, -1)

    def fill(self, slot: int, state: bytes) -> None:
        """Load the saved cells of a slot. Raises DecodeError."""
        if not self.open():
            raise DecodeError("llama.cpp cannot create a prefill context.")
        self.clear()
        own = transposed(state, n_streams=1)
        buffer = (ctypes.c_uint8 * len(own)).from_buffer(own)
        if not llama_cpp.llama_state_seq_set_data(self.context, buffer, len(own), 0):
            raise DecodeError(
                "llama.cpp cannot restore a sequence in its prefill context."
            )
        self.slot = slot

    def state(self) -> bytearray:
        """Return its cells in the format of a slot's. Raises DecodeError."""
        size = llama_cpp.llama_state_seq_get_size(self.context, 0)
        state = bytearray(size)
        buffer = (ctypes.c_uint8 * size).from_buffer(state)
        used = llama_cpp.llama_state_seq_get_data(self.context, buffer, size, 0)
        if used != size:
            raise DecodeError("llama.cpp cannot save a sequence that was prefilled.")
        return transposed(state, n_streams=self._n_streams)

    def compact(self) -> None:
        """Empty it, and give its memory back."""
        self.slot = None
        if self.context is not None:
            llama_cpp.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Free it. Idempotent."""
        if self.context is not None:
            llama_cpp.llama_free(self.context)
        self.context = self._make = None


class CellsWithPrefillContext(KVCells):
    """Cells with a second context for short chunks of one prompt at a time.

    All other operations on that prompt's slot find its cells in place.
    """

    def __init__(
        self, model: Any, config: EngineConfig, layout: CacheLayout, log: LlamaLog
    ) -> None:
        """Make the first context. Raises ModelLoadError."""
        super().__init__(model, config, layout, log)
        self.prefill = PrefillContext(model, config, layout, log)

    def context_apart(self, item: StepItem) -> Any | None:
        """Return the second context for a short chunk of a long prompt.

        Chunks are short beside decodes, and where another key is expected.
        """
        slot = item.sequence.slot or 0
        if (
            not item.is_decode
            and self.prefill.suits(
                slot, item.start, len(item.tokens), item.sequence.num_uncomputed
            )
            and self.prefill.open()
        ):
            if self.prefill.slot != slot:
                self.prefill.fill(slot, self.save(slot))
            self.prefill.keep(item.start)
            return self.prefill.context
        self.settle(slot)
        return None

    def clear(self, slot: int) -> None:
        """Empty a slot, wherever its cells are."""
        if self.prefill.slot == slot:
            self.prefill.clear()
        super().clear(slot)

    def keep(self, slot: int, length: int) -> bool:
        """As in KVCells."""
        self.settle(slot)
        return super().keep(slot, length)

    def save(self, slot: int) -> bytes:
        """As in KVCells."""
        self.settle(slot)
        return super().save(slot)

    def length(self, slot: int) -> int:
        """Return how many positions the slot has, wherever its cells are."""
        if self.prefill.slot == slot:
            return self.prefill.length
        return super().length(slot)

    def compact(self) -> bool:
        """As in KVCells."""
        done = super().compact()
        # Nothing is in it: what was has been saved.
        self.prefill.compact()
        return done

    def free(self) -> None:
        """Free both contexts. Idempotent."""
        self.prefill.close()
        super().free()

    def settle(self, slot: int) -> None:
        """Move this slot's cells to the main context, if they are in the second one."""
        if self.prefill.slot != slot:
            return
        state = self.prefill.state()
        self.prefill.clear()
        self.clear(slot)
        if not self.restore(slot, state):
            raise DecodeError("llama.cpp cannot take a prefill. " + self._log.tail())

    def survives_a_rehearsal(self) -> bool:
        """Whether a cell survives the way to the second context and back.

        Some architectures store more than K and V. Leaves both contexts empty.
        """
        token = (llama_cpp.llama_token * 1)(0)
        try:
            batch = llama_cpp.llama_batch_get_one(token, 1)
            llama_cpp.llama_decode(self.context, batch)
            before = self.save(0)
            self.prefill.fill(0, before)
            return self.save(0) == before
        except (DecodeError, struct.error, ValueError):
            return False
        finally:
            self.clear(0)


def open_cells(
    model: Any,
    config: EngineConfig,
    layout: CacheLayout,
    log: LlamaLog,
    *,
    is_rehearsed: bool = False,
) -> KVCells:
    """Return cells of this layout, with a second context if it pays and works.

    ``is_rehearsed``: it has worked with this model. Raises ModelLoadError.
    """
    if not (can_prefill_apart(model, config) and pays(layout)):
        return KVCells(model, config, layout, log)
    cells = CellsWithPrefillContext(model, config, layout, log)
    if is_rehearsed or cells.survives_a_rehearsal():
        return cells
    logger.warning("No prompts are computed apart: %s", log.tail())
    cells.free()
    return KVCells(model, config, layout, log)
