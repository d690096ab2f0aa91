"""POST /v1/rerank: documents in the order in which they fit a query."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from inference.api.chat.messages import check_sizes
from inference.api.declarations.fields import Boolean, Integer, Text, wrong_type
from inference.api.declarations.records import Record
from inference.api.declarations.requests import MAX_PRIORITY
from inference.api.embeddings.view import (
    PRIORITY_HELP,
    EmbeddingUsage,
    embed_jobs,
    usage_of,
    vectors_of,
)
from inference.api.engine_view import EngineView
from inference.api.errors import InvalidRequest
from inference.api.model_access import RANKS
from inference.api.openapi.operations import rerank_schema
from inference.api.responses import json_response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.transport.jobs import EmbedJob
    from registry.models import Model

MAX_DOCUMENTS = 2048


@dataclass(frozen=True, slots=True)
class Documents:
    """Texts, each as a string or as an object with a text."""

    def parse(self, value: Any, path: str) -> dict[str, str]:
        """Return each document under its path. Raises InvalidRequest."""
        if not isinstance(value, list):
            raise wrong_type(path, "an array of documents", value)
        if not 1 <= len(value) <= MAX_DOCUMENTS:
            raise InvalidRequest(
                f"Invalid value for '{path}': it must have from 1 to {MAX_DOCUMENTS} "
                f"documents, got {len(value)}.",
                param=path,
            )
        places = {f"{path}[{index}]": each for index, each in enumerate(value)}
        return {where: _text(each, where) for where, each in places.items()}

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema."""
        kinds = [Text().schema(), _DOCUMENT.schema()]
        return {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_DOCUMENTS,
            "items": {"oneOf": kinds},
        }


_DOCUMENT = Record({"text": Text()}, ("text",))


def _text(document: Any, path: str) -> str:
    if isinstance(document, dict):
        text: str = _DOCUMENT.parse(document, path)["text"]
        return text
    if not isinstance(document, str):
        raise wrong_type(path, "a string or an object with a text", document)
    return Text().parse(document, path)


RERANK = Record(
    {
        "model": Text(1, 255),
        "query": Text(1),
        "documents": Documents(),
        "top_n": Integer(1, MAX_DOCUMENTS),
        "return_documents": Boolean(),
        "priority": Integer(-MAX_PRIORITY, MAX_PRIORITY),
    },
    ("model", "query", "documents"),
    help={
        "model": "Id, alias or file name of a reranker.",
        "documents": "What is longer, with the query, than the model's context is "
        "refused, never cut.",
        "top_n": "Return only the first so many. Default: all.",
        "return_documents": "Return the documents' texts too. Default: false.",
        "priority": PRIORITY_HELP,
    },
)


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
        given = RERANK.parse(request.data)
        model = self.find_model(request, given["model"], RANKS)
        query: str = given["query"]
        documents: Mapping[str, str] = given["documents"]
        sizes = {where: len(text.encode()) for where, text in documents.items()}
        check_sizes({"query": len(query.encode())}, "query")
        check_sizes(sizes, "documents")
        jobs = embed_jobs(
            documents, request, model, query=query, priority=given.get("priority", 0)
        )
        return Plan(
            model=model,
            jobs=list(jobs),
            documents=list(documents.values()),
            top_n=given.get("top_n", MAX_DOCUMENTS),
            returns_documents=given.get("return_documents", False),
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
