"""POST /v1/embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse

from inference.api.embeddings.prepare import prepare_embedding
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.forwarding.view import RoutedView
from inference.api.model_access import caller_of
from inference.api.openapi.operations import embedding_schema
from inference.api.preparing.abilities import EMBEDS
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.embeddings.prepare import PreparedEmbedding
    from inference.api.forwarding.forwarded import Forwarded
    from inference.engine.request import ModelRequest


class EmbeddingsView(RoutedView):
    """POST /v1/embeddings."""

    api = Api.EMBEDDINGS

    def prepare(self, request: Request) -> PreparedEmbedding | Forwarded:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        return self.aimed(
            request,
            EmbeddingRequest.parse(request.data),
            EMBEDS,
            lambda body, find_model: prepare_embedding(
                body, find_model, caller_of(request)
            ),
        )

    def model_requests(
        self, prepared: PreparedEmbedding | Forwarded
    ) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @embedding_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding | Forwarded
    ) -> HttpResponseBase:
        """Return a vector for each input."""
        return await self.answer_by(prepared, self._answer)

    async def _answer(self, prepared: PreparedEmbedding) -> HttpResponseBase:
        events = await self.run_whole(prepared.requests)
        body = await prepared.answer(events)
        return HttpResponse(body, content_type="application/json")
