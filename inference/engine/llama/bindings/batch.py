"""A llama.cpp batch: the tokens that are computed together, and their sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llama_cpp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class LlamaBatch:
    """Room for ``size`` tokens, each of one sequence.

    The columns are NumPy views of llama.cpp's own arrays: a prefill chunk is written at
    once, where ctypes would write five numbers for each token.
    """

    def __init__(self, size: int) -> None:
        self.raw = llama_cpp.llama_batch_init(size, 0, 1)
        self._tokens = _column(self.raw.token, size)
        self._positions = _column(self.raw.pos, size)
        self._outputs = _column(self.raw.logits, size)
        #: Each token's array of sequences, which has one entry.
        self._slots = [self.raw.seq_id[index] for index in range(size)]
        _column(self.raw.n_seq_id, size)[:] = 1

    def __len__(self) -> int:
        return int(self.raw.n_tokens)

    def clear(self) -> None:
        """Remove all tokens."""
        self.raw.n_tokens = 0

    def add(
        self, tokens: Sequence[int], *, start: int, slot: int, outputs: int = 0
    ) -> int:
        """Add tokens of a sequence for the positions from ``start`` on.

        Logits are computed for the last ``outputs`` of them. Returns the end of the
        tokens in the batch.
        """
        begin, count = self.raw.n_tokens, len(tokens)
        end: int = begin + count
        if count == 1:
            # The usual case of a decode; slices would take three times as long.
            self._tokens[begin] = tokens[0]
            self._positions[begin] = start
            self._outputs[begin] = outputs
        else:
            self._tokens[begin:end] = tokens
            self._positions[begin:end] = np.arange(start, start + count)
            self._outputs[begin:end] = False
            self._outputs[end - outputs : end] = True
        for place in self._slots[begin:end]:
            place[0] = slot
        self.raw.n_tokens = end
        return end

    def close(self) -> None:
        """Free it. Once."""
        llama_cpp.llama_batch_free(self.raw)


def _column(pointer: Any, size: int) -> NDArray[np.generic]:
    return np.ctypeslib.as_array(pointer, shape=(size,))
