"""POST /v1/rerank: documents in the order in which they fit a query."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from inference.api.embeddings.view import (
    EmbeddingUsage,
    pooling_requests,
    usage_of,
    vectors_of,
)
from inference.api.engine_view import EngineView, queue_of
from inference.api.model_access import RANKS
from inference.api.openapi.operations import rerank_schema
from inference.api.rerank.request import RerankRequest
from inference.api.responses import json_response
from inference.api.text_limits import check_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.engine.request import PoolingRequest
    from registry.models import Model


class RankedDocument(TypedDict):
    """A document's text."""

    text: str


class RankedResult(TypedDict):
    """How well the document of this index fits: the model's own score."""

    index: int
    relevance_score: float
    document: NotRequired[RankedDocument]


class Ranking(TypedDict):
    """The answer of POST /v1/rerank: the best document first."""

    id: str
    object: Literal["list"]
    model: str
    results: list[RankedResult]
    usage: EmbeddingUsage


@dataclass(frozen=True, slots=True)
class PreparedRanking:
    """What a request has the engine compute, and how it is answered."""

    model: Model
    requests: list[PoolingRequest]
    documents: list[str]
    top_n: int
    returns_documents: bool


class RerankView(EngineView):
    """POST /v1/rerank, in Jina's and Cohere's words."""

    def prepare(self, request: Request) -> PreparedRanking:
        """Return what a request has computed."""
        body = RerankRequest.parse(request.data)
        model = self.find_model(request, body.model, RANKS)
        documents = {f"documents[{i}]": text for i, text in enumerate(body.texts)}
        check_sizes({"query": len(body.query.encode())}, "query")
        check_sizes(
            {path: len(text.encode()) for path, text in documents.items()}, "documents"
        )
        requests = pooling_requests(
            documents, request, model, query=body.query, priority=body.priority
        )
        return PreparedRanking(
            model=model,
            requests=list(requests),
            documents=body.texts,
            top_n=body.top_n,
            returns_documents=body.return_documents,
        )

    @rerank_schema
    async def post(
        self, request: Request, prepared: PreparedRanking
    ) -> HttpResponseBase:
        """Rank documents by how well they fit a query."""
        events = await self.run_whole(prepared.requests, queue_of(prepared.model))
        scores = [struct.unpack("<f", vector)[0] for vector in vectors_of(events)]
        answer: Ranking = {
            "id": f"rerank-{uuid.uuid4().hex}",
            "object": "list",
            "model": prepared.model.name,
            "results": ranked(scores, prepared),
            "usage": usage_of(events),
        }
        return json_response(answer)


def ranked(scores: Sequence[float], prepared: PreparedRanking) -> list[RankedResult]:
    """Return the best documents; of those that are alike the earlier first."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    results: list[RankedResult] = []
    for index in order[: prepared.top_n]:
        result: RankedResult = {"index": index, "relevance_score": scores[index]}
        if prepared.returns_documents:
            result["document"] = {"text": prepared.documents[index]}
        results.append(result)
    return results
