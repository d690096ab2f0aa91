"""Embedding requests, their outputs, and the model that computes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from inference.engine.errors import ContextExceeded, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from inference.engine.backend import Tokenizer
    from inference.engine.cache_layout import CacheLayout
    from inference.engine.sequence import FinishReason


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts as token ids; each is a sequence of its own and becomes one vector.

    Capacity is shared fairly between API keys: ``key`` names one, ``weight`` is its
    share. Of one key's requests a lower ``priority`` goes first.
    """

    request_id: str
    inputs: tuple[list[int], ...]
    key: str = ""
    weight: float = 1.0
    priority: int = 0

    @property
    def num_prompt(self) -> int:
        """Tokens of all inputs."""
        return sum(map(len, self.inputs))


@dataclass(frozen=True, slots=True)
class EmbeddingOutput:
    """The start of a request, or its end.

    ``vectors`` has one vector of each input, in their order, as little-endian float32
    bytes; it is empty unless ``finish_reason`` is STOP. ``num_cached`` is always 0:
    embedding has no prefix cache. A failed request has an ``error`` message and the
    ``code`` of its kind.
    """

    request_id: str
    num_prompt: int
    vectors: tuple[bytes, ...] = ()
    num_cached: int = 0
    is_start: bool = False
    finish_reason: FinishReason | None = None
    error: str = ""
    code: str = ""


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


def check_inputs(
    inputs: Sequence[list[int]],
    paths: Sequence[str],
    *,
    n_ctx: int,
    n_vocab: int,
    with_query: bool = False,
) -> None:
    """Raise InvalidRequest, with the input's path, if one can never be computed.

    ``with_query`` says that each input includes a query. Pure, so that any thread may
    call it before the request is queued.
    """
    for tokens, path in zip(inputs, paths, strict=True):
        if not tokens:
            raise InvalidRequest(f"'{path}' has no tokens.", param=path)
        if len(tokens) > n_ctx:
            raise ContextExceeded(
                f"This model's maximum context length is {n_ctx} tokens, but '{path}' "
                f"has {len(tokens)} tokens{' with the query' if with_query else ''}. "
                "Shorten it, or split it.",
                param=path,
            )
        strange = next((token for token in tokens if not 0 <= token < n_vocab), None)
        if strange is not None:
            raise InvalidRequest(
                f"'{path}' has the token id {strange}; this model's are 0 to "
                f"{n_vocab - 1}.",
                param=path,
            )
