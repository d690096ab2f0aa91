"""An engine that makes vectors, and models for it."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async

from inference.transport.jobs import EmbedJob
from inference.transport.messages import Embedded, Event, Finished, Usage
from registry.models import Kind
from tests.factories import make_model
from tests.fakes import FakeEngineClient, FakeStream, begun

if TYPE_CHECKING:
    from inference.transport.stream import AnyJob
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


def told(job: EmbedJob) -> list[Event]:
    """Return the events of a job that has run; a text has a token for each letter."""
    if job.query is not None:
        vectors = [packed(score(job.query, str(text))) for text in job.inputs]
    else:
        vectors = [packed(*vector(text)) for text in job.inputs]
    tokens = sum(map(len, job.inputs))
    return [Embedded("", tuple(vectors)), Finished("", "stop", "", Usage(tokens))]


class FakeEmbedderClient(FakeEngineClient):
    """Answers what nothing else is scripted for."""

    async def submit(self, job: AnyJob) -> FakeStream:
        """Take a job."""
        if not self.scripts and isinstance(job, EmbedJob):
            self.enqueue(begun(sum(map(len, job.inputs))), told(job))
        return await super().submit(job)


async def make_embedder(name: str = EMBEDDER, **fields: object) -> Model:
    """Save an embedding model."""
    values = {"kind": Kind.EMBEDDING, "embedding_length": WIDTH, **fields}
    return await sync_to_async(make_model)(name, **values)


async def make_ranker(name: str = RANKER) -> Model:
    """Save a reranker."""
    return await sync_to_async(make_model)(name, kind=Kind.RERANKER)
