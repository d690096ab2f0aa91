"""An engine that makes vectors, and models for it."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from inference.engine.output import PoolingOutput
from inference.engine.request import PoolingRequest
from inference.engine.sequence import FinishReason
from registry.models import Kind
from tests.factories import make_model
from tests.fakes import FakeEngineClient, FakeStream, begun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.request import ModelRequest
    from inference.transport.messages.events import Event
    from inference.transport.queue import ModelQueue
    from registry.models import Model

EMBEDDER = "minilm"
RANKER = "ranker"
WIDTH = 4


def vector(text: str | list[int]) -> list[float]:
    """Return the vector of a text: of length 1, and like no other text's."""
    numbers = [1.0, len(text), text[0] if isinstance(text, list) else ord(text[0]), 2.0]
    length = math.hypot(*numbers)
    return [number / length for number in numbers]


def score(query: str, document: str) -> float:
    """Return how many words a document shares with a query."""
    return float(len(set(query.split()) & set(document.split())))


def packed(*numbers: float) -> bytes:
    """Return numbers as a worker sends them."""
    return struct.pack(f"<{len(numbers)}f", *numbers)


def embedded(request: PoolingRequest) -> list[Event]:
    """Return the end of a request that has run; a text has a token for each letter."""
    if request.query is not None:
        vectors = [packed(score(request.query, str(text))) for text in request.inputs]
    else:
        vectors = [packed(*vector(text)) for text in request.inputs]
    tokens = sum(map(len, request.inputs))
    return [PoolingOutput("", tokens, tuple(vectors), finish_reason=FinishReason.STOP)]


class FakeEmbedderClient(FakeEngineClient):
    """Answers what nothing else is scripted for."""

    async def submit(
        self, request: ModelRequest, queue: ModelQueue, so_far: Sequence[Event] = ()
    ) -> FakeStream:
        """Take a request."""
        if not self.scripts and isinstance(request, PoolingRequest):
            self.enqueue(begun(sum(map(len, request.inputs))), embedded(request))
        return await super().submit(request, queue)


async def make_embedder(name: str = EMBEDDER, **fields: object) -> Model:
    """Save an embedding model."""
    values = {"kind": Kind.EMBEDDING, "embedding_length": WIDTH, **fields}
    return await sync_to_async(make_model)(name, **values)


async def make_ranker(name: str = RANKER) -> Model:
    """Save a reranker."""
    return await sync_to_async(make_model)(name, kind=Kind.RERANKER)
