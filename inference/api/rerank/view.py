"""POST /v1/rerank: documents in the order in which they fit a query."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

from inference.api.embeddings.view import (
    EmbeddingUsage,
    embed_jobs,
    usage_of,
    vectors_of,
)
from inference.api.engine_view import EngineView
from inference.api.model_access import RANKS
from inference.api.openapi.operations import rerank_schema
from inference.api.rerank.request import RerankRequest
from inference.api.responses import json_response
from inference.api.text_limits import check_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.transport.jobs import EmbedJob
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
class Plan:
    """A request, understood."""

    model: Model
    jobs: list[EmbedJob]
    documents: list[str]
    top_n: int
    returns_documents: bool


class RerankView(EngineView):
    """POST /v1/rerank, in Jina's and Cohere's words."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a request."""
        body = RerankRequest.parse(request.data)
        model = self.find_model(request, body.model, RANKS)
        documents = {f"documents[{i}]": text for i, text in enumerate(body.texts)}
        check_sizes({"query": len(body.query.encode())}, "query")
        check_sizes(
            {path: len(text.encode()) for path, text in documents.items()}, "documents"
        )
        jobs = embed_jobs(
            documents, request, model, query=body.query, priority=body.priority
        )
        return Plan(
            model=model,
            jobs=list(jobs),
            documents=body.texts,
            top_n=body.top_n,
            returns_documents=body.return_documents,
        )

    @rerank_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Rank documents by how well they fit a query."""
        events = await self.run_whole(plan.jobs)
        scores = [struct.unpack("<f", vector)[0] for vector in vectors_of(events)]
        answer: Ranking = {
            "id": f"rerank-{uuid.uuid4().hex}",
            "object": "list",
            "model": plan.model.name,
            "results": ranked(scores, plan),
            "usage": usage_of(events),
        }
        return json_response(answer)


def ranked(scores: Sequence[float], plan: Plan) -> list[RankedResult]:
    """Return the best documents; of those that are alike the earlier first."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    results: list[RankedResult] = []
    for index in order[: plan.top_n]:
        result: RankedResult = {"index": index, "relevance_score": scores[index]}
        if plan.returns_documents:
            result["document"] = {"text": plan.documents[index]}
        results.append(result)
    return results
