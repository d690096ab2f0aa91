"""Makes the engine's requests of a rerank request, and its answer."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.api.body.text_limits import check_sizes
from inference.api.embeddings.pooling import pooling_requests, usage_of, vectors_of
from inference.api.rerank.response import best_documents, ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inference.api.preparing.caller import Caller
    from inference.api.rerank.request import RerankRequest
    from inference.api.rerank.response import Ranking
    from inference.engine.request import PoolingRequest
    from inference.transport.messages.events import Event
    from registry.model_facts import ModelFacts


@dataclass(frozen=True, slots=True)
class PreparedRanking:
    """The pooling requests of a request, and the format of its answer."""

    model_name: str
    requests: list[PoolingRequest]
    documents: list[str]
    top_n: int
    returns_documents: bool

    def answer(self, events: Sequence[Sequence[Event]]) -> Ranking:
        """Return the answer: the best document first."""
        scores = [struct.unpack("<f", vector)[0] for vector in vectors_of(events)]
        results = best_documents(
            scores,
            self.documents,
            top_n=self.top_n,
            with_texts=self.returns_documents,
        )
        return ranking(self.model_name, results, usage_of(events))


def prepare_ranking(
    body: RerankRequest, find_model: Callable[[str], ModelFacts], caller: Caller
) -> PreparedRanking:
    """Return the pooling requests and the answer's format. Raises BadRequest."""
    model = find_model(body.model)
    documents = {f"documents[{i}]": text for i, text in enumerate(body.texts)}
    check_sizes({"query": len(body.query.encode())}, "query")
    check_sizes(
        {path: len(text.encode()) for path, text in documents.items()}, "documents"
    )
    requests = pooling_requests(
        documents, caller, query=body.query, priority=body.priority
    )
    return PreparedRanking(
        model_name=model.name,
        requests=list(requests),
        documents=body.texts,
        top_n=body.top_n,
        returns_documents=body.return_documents,
    )
