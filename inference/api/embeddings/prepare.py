"""Makes the engine's requests of an embedding request, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.completions.prompts import by_path
from inference.api.embeddings.pooling import pooling_requests, usage_of, vectors_of
from inference.api.embeddings.response import embedding_list, vector_texts
from inference.api.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.api.embeddings.request import EmbeddingRequest
    from inference.api.preparing.caller import Caller
    from inference.engine.request import PoolingRequest
    from inference.transport.messages.events import Event
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class PreparedEmbedding:
    """The pooling requests of a request, and the format of its answer."""

    model_name: str
    requests: list[PoolingRequest]
    dimensions: int | None
    is_base64: bool

    async def vectors(self, events: Sequence[Sequence[Event]]) -> list[bytes]:
        """Return each vector as JSON. Raises BadRequest."""
        vectors = list(vectors_of(events))
        if self.dimensions:
            width = len(vectors[0]) // 4
            _check_dimensions(self.dimensions, width, self.model_name)
        return await vector_texts(
            vectors, dimensions=self.dimensions, is_base64=self.is_base64
        )

    async def answer(self, events: Sequence[Sequence[Event]]) -> bytes:
        """Return an EmbeddingList as JSON. Raises BadRequest."""
        texts = await self.vectors(events)
        return embedding_list(texts, model=self.model_name, usage=usage_of(events))


def prepare_embedding(
    body: EmbeddingRequest, find_model: Callable[[str], ModelFacts], caller: Caller
) -> PreparedEmbedding:
    """Return the pooling requests and the answer's format. Raises BadRequest."""
    inputs = by_path(body.input, "input")
    model = find_model(body.model)
    if body.dimensions and model.embedding_length:
        _check_dimensions(body.dimensions, model.embedding_length, model.name)
    requests = pooling_requests(inputs, caller, priority=body.priority)
    return PreparedEmbedding(
        model_name=model.name,
        requests=list(requests),
        dimensions=body.dimensions,
        is_base64=body.encoding_format == "base64",
    )


def _check_dimensions(dimensions: int, width: int, name: str) -> None:
    if dimensions > width:
        raise BadRequest(
            f"Invalid value for 'dimensions': {dimensions}, and the vectors of the "
            f"model '{name}' have {width} numbers.",
            param="dimensions",
        )
