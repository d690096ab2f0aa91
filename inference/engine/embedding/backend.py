"""What the engine needs of a loaded model that makes vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from inference.engine.backend import Tokenizer
    from inference.engine.config.cache_layout import CacheLayout


class EmbeddingBackend(Protocol):
    """A loaded embedding or ranking model. Used by the engine thread only.

    An input has at most ``n_ctx_max`` tokens. A step has at most ``layout.n_seq_max``
    inputs, and at most ``n_batch`` tokens, or one longer input. A vector gets length
    1; with ``is_ranking`` it is one number, a score, and stays as it is.
    """

    layout: CacheLayout
    n_ctx_max: int
    n_batch: int
    is_ranking: bool

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    def pairs(self, query: str, documents: Sequence[str]) -> list[list[int]]:
        """Return the tokens of a query with each document, as the model ranks them.

        On any thread.
        """

    def embed(self, inputs: Sequence[list[int]]) -> NDArray[np.float32]:
        """Return a row for each input. Raises DecodeError."""

    def close(self) -> None:
        """Free everything. Idempotent."""
