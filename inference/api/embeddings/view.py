"""POST /v1/embeddings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.http import HttpResponse

from inference.api.embeddings.prepare import prepare_embedding
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.model_access import caller_of
from inference.api.openapi.operations import embedding_schema
from inference.api.preparing.abilities import EMBEDS
from inference.api.worker_view import WorkerView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.embeddings.prepare import PreparedEmbedding
    from inference.engine.request import ModelRequest


class EmbeddingsView(WorkerView):
    """POST /v1/embeddings."""

    def prepare(self, request: Request) -> PreparedEmbedding:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        return prepare_embedding(
            EmbeddingRequest.parse(request.data),
            partial(self.find_model, request, ability=EMBEDS),
            caller_of(request),
        )

    def model_requests(self, prepared: PreparedEmbedding) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @embedding_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding
    ) -> HttpResponseBase:
        """Return a vector for each input."""
        events = await self.run_whole(prepared.requests)
        body = await prepared.answer(events)
        return HttpResponse(body, content_type="application/json")
