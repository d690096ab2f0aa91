"""POST /v1/rerank: ranks documents by their relevance to a query."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.body.text_limits import check_sizes
from inference.api.embeddings.pooling import pooling_requests, usage_of, vectors_of
from inference.api.model_access import RANKS
from inference.api.openapi.operations import rerank_schema
from inference.api.rerank.request import RerankRequest
from inference.api.rerank.response import best_documents, ranking
from inference.api.responses import json_response
from inference.api.worker_view import WorkerView, queue_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.engine.request import ModelRequest, PoolingRequest
    from registry.models import Model


@dataclass(frozen=True, slots=True)
class PreparedRanking:
    """The pooling requests of a request, and the format of its answer."""

    model: Model
    requests: list[PoolingRequest]
    documents: list[str]
    top_n: int
    returns_documents: bool


class RerankView(WorkerView):
    """POST /v1/rerank, with Jina's and Cohere's fields."""

    def prepare(self, request: Request) -> PreparedRanking:
        """Return the pooling requests and the answer's format. Raises BadRequest."""
        body = RerankRequest.parse(request.data)
        model = self.find_model(request, body.model, RANKS)
        documents = {f"documents[{i}]": text for i, text in enumerate(body.texts)}
        check_sizes({"query": len(body.query.encode())}, "query")
        check_sizes(
            {path: len(text.encode()) for path, text in documents.items()}, "documents"
        )
        requests = pooling_requests(
            documents, request, query=body.query, priority=body.priority
        )
        return PreparedRanking(
            model=model,
            requests=list(requests),
            documents=body.texts,
            top_n=body.top_n,
            returns_documents=body.return_documents,
        )

    def model_requests(self, prepared: PreparedRanking) -> Sequence[ModelRequest]:
        """Return the pooling requests."""
        return prepared.requests

    @rerank_schema
    async def post(
        self, request: Request, prepared: PreparedRanking
    ) -> HttpResponseBase:
        """Rank documents by their relevance to a query."""
        events = await self.run_whole(prepared.requests, queue_of(prepared.model))
        scores = [struct.unpack("<f", vector)[0] for vector in vectors_of(events)]
        results = best_documents(
            scores,
            prepared.documents,
            top_n=prepared.top_n,
            with_texts=prepared.returns_documents,
        )
        answer = ranking(prepared.model.name, results, usage_of(events))
        return json_response(answer)
