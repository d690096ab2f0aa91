"""POST /v1/embeddings: returns a vector for each text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpResponse

from inference.api.completions.prompts import by_path
from inference.api.embeddings.pooling import pooling_requests, usage_of, vectors_of
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.embeddings.response import embedding_list
from inference.api.errors import BadRequest
from inference.api.model_access import EMBEDS
from inference.api.openapi.operations import embedding_schema
from inference.api.worker_view import WorkerView, queue_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.engine.request import ModelRequest, PoolingRequest
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PreparedEmbedding:
    """The pooling requests of a request, and the format of its answer."""

    model: Model
    requests: list[PoolingRequest]
    dimensions: int | None
    is_base64: bool


class EmbeddingsView(WorkerView):
    """POST /v1/embeddings."""

    def prepare(self, request: Request) -> PreparedEmbedding:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        body = EmbeddingRequest.parse(request.data)
        inputs = by_path(body.input, "input")
        model = self.find_model(request, body.model, EMBEDS)
        if body.dimensions and model.embedding_length:
            _check_dimensions(body.dimensions, model.embedding_length, model.name)
        requests = pooling_requests(inputs, request, priority=body.priority)
        return PreparedEmbedding(
            model=model,
            requests=list(requests),
            dimensions=body.dimensions,
            is_base64=body.encoding_format == "base64",
        )

    def model_requests(self, prepared: PreparedEmbedding) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @embedding_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding
    ) -> HttpResponseBase:
        """Return a vector for each input."""
        events = await self.run_whole(prepared.requests, queue_of(prepared.model))
        vectors = list(vectors_of(events))
        if prepared.dimensions:
            width = len(vectors[0]) // 4
            _check_dimensions(prepared.dimensions, width, prepared.model.name)
        body = await embedding_list(
            vectors,
            model=prepared.model.name,
            dimensions=prepared.dimensions,
            is_base64=prepared.is_base64,
            usage=usage_of(events),
        )
        return HttpResponse(body, content_type="application/json")


def _check_dimensions(dimensions: int, width: int, name: str) -> None:
    if dimensions > width:
        raise BadRequest(
            f"Invalid value for 'dimensions': {dimensions}, and the vectors of the "
            f"model '{name}' have {width} numbers.",
            param="dimensions",
        )
