"""The answer of POST /v1/rerank."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

# Needed at runtime: the schema in /openapi.json is made from the annotations.
from inference.api.embeddings.response import EmbeddingUsage  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Sequence


class RankedDocument(TypedDict):
    """A document's text."""

    text: str


class RankedResult(TypedDict):
    """The relevance of the document with this index: the model's score."""

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


def ranking(model: str, results: list[RankedResult], usage: EmbeddingUsage) -> Ranking:
    """Return results as an answer with a new id."""
    return {
        "id": f"rerank-{uuid.uuid4().hex}",
        "object": "list",
        "model": model,
        "results": results,
        "usage": usage,
    }


def best_documents(
    scores: Sequence[float], documents: Sequence[str], *, top_n: int, with_texts: bool
) -> list[RankedResult]:
    """Return the ``top_n`` best documents; of equal scores, the earlier one first."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    results: list[RankedResult] = []
    for index in order[:top_n]:
        result: RankedResult = {"index": index, "relevance_score": scores[index]}
        if with_texts:
            result["document"] = {"text": documents[index]}
        results.append(result)
    return results
