"""POST /v1/rerank: ranks documents by their relevance to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.forwarding.view import RoutedView
from inference.api.model_access import caller_of
from inference.api.openapi.operations import rerank_schema
from inference.api.preparing.abilities import RANKS
from inference.api.rerank.prepare import prepare_ranking
from inference.api.rerank.request import RerankRequest
from inference.api.responses import json_response
from registry.models import Api

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.forwarding.forwarded import Forwarded
    from inference.api.rerank.prepare import PreparedRanking
    from inference.engine.request import ModelRequest


class RerankView(RoutedView):
    """POST /v1/rerank, with Jina's and Cohere's fields."""

    api = Api.RERANK

    def prepare(self, request: Request) -> PreparedRanking | Forwarded:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        return self.aimed(
            request,
            RerankRequest.parse(request.data),
            RANKS,
            lambda body, find_model: prepare_ranking(
                body, find_model, caller_of(request)
            ),
        )

    def model_requests(
        self, prepared: PreparedRanking | Forwarded
    ) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @rerank_schema
    async def post(
        self, request: Request, prepared: PreparedRanking | Forwarded
    ) -> HttpResponseBase:
        """Rank documents by their relevance to a query."""
        return await self.answer_by(prepared, self._answer)

    async def _answer(self, prepared: PreparedRanking) -> HttpResponseBase:
        return json_response(prepared.answer(await self.run_whole(prepared.requests)))
