"""POST /v1/rerank: ranks documents by their relevance to a query."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from inference.api.model_access import caller_of
from inference.api.openapi.operations import rerank_schema
from inference.api.preparing.abilities import RANKS
from inference.api.rerank.prepare import prepare_ranking
from inference.api.rerank.request import RerankRequest
from inference.api.responses import json_response
from inference.api.worker_view import WorkerView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.rerank.prepare import PreparedRanking
    from inference.engine.request import ModelRequest


class RerankView(WorkerView):
    """POST /v1/rerank, with Jina's and Cohere's fields."""

    def prepare(self, request: Request) -> PreparedRanking:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        return prepare_ranking(
            RerankRequest.parse(request.data),
            partial(self.find_model, request, ability=RANKS),
            caller_of(request),
        )

    def model_requests(self, prepared: PreparedRanking) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @rerank_schema
    async def post(
        self, request: Request, prepared: PreparedRanking
    ) -> HttpResponseBase:
        """Rank documents by their relevance to a query."""
        return json_response(prepared.answer(await self.run_whole(prepared.requests)))
