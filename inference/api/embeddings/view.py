"""POST /v1/embeddings: texts become vectors."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from django.conf import settings
from django.http import HttpResponse

from inference.api.completions.prompts import by_path, size_of
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.engine_view import EngineView
from inference.api.errors import InvalidRequest
from inference.api.model_access import EMBEDS, line_of
from inference.api.openapi.operations import embedding_schema
from inference.transport.jobs import EmbedJob
from inference.transport.messages import Embedded, Finished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.transport.messages import Event
    from registry.models import Model

#: Inputs that go to a worker together, at most: few enough that several workers
#: share a large request, and that one that dies has little to be done again.
_JOB_INPUTS = 32
_JOB_BYTES = 64 * 1024
#: Numbers that are written without letting others run: a millisecond or two.
_BREATH = 8192
_EMBEDDING = b'{"object":"embedding","index":%d,"embedding":%b}'


class Embedding(TypedDict):
    """The vector of one input: of length 1; as base64 if that was asked for."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(TypedDict):
    """The engine's own count of the tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(TypedDict):
    """The answer of POST /v1/embeddings: a vector for each input, in order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


@dataclass(frozen=True, slots=True)
class Plan:
    """A request, understood."""

    model: Model
    jobs: list[EmbedJob]
    dimensions: int | None
    is_base64: bool


class EmbeddingsView(EngineView):
    """POST /v1/embeddings."""

    def prepare(self, request: Request) -> Plan:
        """Return the plan of a request."""
        body = EmbeddingRequest.parse(request.data)
        inputs = by_path(body.input, "input")
        model = self.find_model(request, body.model, EMBEDS)
        if body.dimensions and model.embedding_length:
            _check_dimensions(body.dimensions, model.embedding_length, model.name)
        jobs = embed_jobs(inputs, request, model, priority=body.priority)
        return Plan(
            model=model,
            jobs=list(jobs),
            dimensions=body.dimensions,
            is_base64=body.encoding_format == "base64",
        )

    @embedding_schema
    async def post(self, request: Request, plan: Plan) -> HttpResponseBase:
        """Make a vector of each input."""
        events = await self.run_whole(plan.jobs)
        vectors = list(vectors_of(events))
        if plan.dimensions:
            width = len(vectors[0]) // 4
            _check_dimensions(plan.dimensions, width, plan.model.name)
        body = await _embedding_list(vectors, plan, usage_of(events))
        return HttpResponse(body, content_type="application/json")


def embed_jobs(
    inputs: Mapping[str, str | list[int]],
    request: Request,
    model: Model,
    *,
    query: str | None = None,
    priority: int = 0,
) -> Iterator[EmbedJob]:
    """Yield a request's inputs, by their paths, as jobs that workers can share."""
    line = line_of(request)
    paths, texts = tuple(inputs), tuple(inputs.values())
    for part in _parts(texts):
        yield EmbedJob(
            model_id=model.pk,
            model_name=model.name,
            inputs=texts[part],
            paths=paths[part],
            timeout_s=settings.CONFIG.engine.queue_timeout,
            query=query,
            key=line.key,
            weight=line.weight,
            priority=priority,
        )


def _parts(inputs: Sequence[str | list[int]]) -> Iterator[slice]:
    first = size = 0
    for index, each in enumerate(inputs):
        is_full = index - first == _JOB_INPUTS or size + size_of(each) > _JOB_BYTES
        if is_full and index > first:
            yield slice(first, index)
            first, size = index, 0
        size += size_of(each)
    yield slice(first, len(inputs))


def vectors_of(events: Iterable[Sequence[Event]]) -> Iterator[bytes]:
    """Yield the vectors of all jobs in order."""
    for job in events:
        # A worker that took the job over from another says all of it again.
        said = [event for event in job if isinstance(event, Embedded)]
        yield from said[-1].vectors


def usage_of(events: Iterable[Sequence[Event]]) -> EmbeddingUsage:
    """Return the tokens of all jobs."""
    tokens = sum(
        event.usage.prompt_tokens
        for job in events
        for event in job
        if isinstance(event, Finished)
    )
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _check_dimensions(dimensions: int, width: int, name: str) -> None:
    if dimensions > width:
        raise InvalidRequest(
            f"Invalid value for 'dimensions': {dimensions}, and the vectors of the "
            f"model '{name}' have {width} numbers.",
            param="dimensions",
        )


async def _embedding_list(
    vectors: Sequence[bytes], plan: Plan, usage: EmbeddingUsage
) -> bytes:
    """Return an EmbeddingList as JSON, written while others run.

    json would take seconds for what may be millions of numbers, and write each as
    if it had 53 bits.
    """
    pieces = []
    unheard = 0
    for index, vector in enumerate(vectors):
        vector = shortened(vector, plan.dimensions) if plan.dimensions else vector
        text = _base64(vector) if plan.is_base64 else _numbers(vector)
        pieces.append(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, text)
        )
        unheard += len(vector) // 4
        if unheard >= _BREATH:
            unheard = 0
            await asyncio.sleep(0)
    rest = json.dumps({"model": plan.model.name, "usage": usage}, ensure_ascii=False)
    return b'{"object":"list","data":[%b],%b' % (b",".join(pieces), rest[1:].encode())


def _base64(vector: bytes) -> bytes:
    return b'"%b"' % base64.b64encode(vector)


def _numbers(vector: bytes) -> bytes:
    """Return the numbers of a vector as a JSON array; nine digits tell a float32."""
    count = len(vector) // 4
    numbers = struct.unpack(f"<{count}f", vector)
    form = ",".join(["%.9g"] * count)
    return f"[{form % numbers}]".encode()


def shortened(vector: bytes, dimensions: int) -> bytes:
    """Return the first numbers of a vector, again of length 1."""
    numbers: tuple[Any, ...] = struct.unpack_from(f"<{dimensions}f", vector)
    length = math.sqrt(sum(number * number for number in numbers))
    if not length:
        return vector[: dimensions * 4]
    return struct.pack(f"<{dimensions}f", *(number / length for number in numbers))
