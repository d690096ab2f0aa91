"""A model that makes vectors by arithmetic, without llama.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from inference.engine.config.cache_layout import CacheLayout
from inference.engine.errors import DecodeError
from tests.inference.engine.fakes import FakeTokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

#: An input with this character cannot be computed, nor any batch that it is in.
BAD = "\N{PILE OF POO}"
#: An input with this one computes to nonsense.
NAN = "\N{THINKING FACE}"
WARM_UP = [ord("a")]


class FakeEmbedder:
    """Makes of an input the vector (first character, last character, length).

    As a ranker it scores a pair by how many characters of the document the query
    has. It records the batches that it was given.
    """

    def __init__(
        self,
        *,
        n_ctx: int = 64,
        n_batch: int = 16,
        n_seq_max: int = 4,
        is_ranking: bool = False,
    ) -> None:
        self.layout = CacheLayout(n_ctx, n_seq_max, max(n_ctx, n_batch), is_split=False)
        self.n_ctx_max = n_ctx
        self.n_batch = n_batch
        self.is_ranking = is_ranking
        self.tokenizer = FakeTokenizer()
        self.batches: list[list[str]] = []
        self.on_batch: Callable[[], object] = lambda: None
        self.is_closed = False

    def pairs(self, query: str, documents: Sequence[str]) -> list[list[int]]:
        return [
            self.tokenizer.tokenize(f"{query}\n{document}", special=True)
            for document in documents
        ]

    def embed(self, inputs: Sequence[list[int]]) -> NDArray[np.float32]:
        if list(inputs) != [WARM_UP]:
            self.on_batch()
        size = sum(map(len, inputs))
        assert size <= self.n_batch or len(inputs) == 1, "more than a batch"
        assert max(map(len, inputs)) <= self.n_ctx_max
        assert len(inputs) <= self.layout.n_seq_max
        texts = ["".join(map(chr, tokens)) for tokens in inputs]
        self.batches.append(texts)
        if any(BAD in text for text in texts):
            raise DecodeError("llama_decode returned -3")
        row = self._score if self.is_ranking else self._vector
        return np.array([row(text) for text in texts], np.float32)

    def _vector(self, text: str) -> list[float]:
        first = float("nan") if NAN in text else ord(text[0])
        return [first, ord(text[-1]), len(text)]

    def _score(self, text: str) -> list[float]:
        query, _, document = text.partition("\n")
        return [sum(character in query for character in document)]

    def close(self) -> None:
        self.is_closed = True
