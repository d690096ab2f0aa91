"""A llama.cpp batch of embeddings: what stands in the place of tokens."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np

_FLOATS = ctypes.POINTER(ctypes.c_float)
_INTS = ctypes.POINTER(ctypes.c_int32)
_BYTES = ctypes.POINTER(ctypes.c_int8)


class EmbeddingBatch:
    """Rows of embeddings for the positions of one slot; logits of the last, if asked.

    ``positions`` is an array of a number for each row, or of four rows of them where
    the model has positions in several dimensions.
    """

    def __init__(
        self, embeddings: Any, positions: Any, slot: int, *, has_output: bool
    ) -> None:
        # llama.cpp reads all of these: they live as long as this does.
        self._embeddings = np.ascontiguousarray(embeddings, np.float32)
        self._positions = np.ascontiguousarray(positions, np.int32)
        count = len(self._embeddings)
        self._counts = np.ones(count, np.int32)
        self._outputs = np.zeros(count, np.int8)
        self._outputs[-1] = has_output
        self._slot = (ctypes.c_int32 * 1)(slot)
        pointer = ctypes.cast(self._slot, _INTS)
        self._slots = (_INTS * count)(*[pointer] * count)
        self.raw = llama_cpp.llama_batch(
            n_tokens=count,
            token=None,
            embd=self._embeddings.ctypes.data_as(_FLOATS),
            pos=self._positions.ctypes.data_as(_INTS),
            n_seq_id=self._counts.ctypes.data_as(_INTS),
            seq_id=ctypes.cast(self._slots, ctypes.POINTER(_INTS)),
            logits=self._outputs.ctypes.data_as(_BYTES),
        )

    def __len__(self) -> int:
        return len(self._embeddings)
