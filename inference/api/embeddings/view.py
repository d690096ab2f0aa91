"""POST /v1/embeddings: texts become vectors."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from django.http import HttpResponse

from inference.api.completions.prompts import by_path, size_of
from inference.api.embeddings.request import EmbeddingRequest
from inference.api.engine_view import EngineView, queue_of
from inference.api.errors import BadRequest
from inference.api.model_access import EMBEDS, key_share
from inference.api.openapi.operations import embedding_schema
from inference.engine.output import PoolingOutput
from inference.engine.request import PoolingRequest
from inference.transport.stream import new_request_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.transport.messages.events import Event
    from registry.models import Model

#: Inputs that go to a worker together, at most: few enough that several workers
#: share a large request, and that little is repeated when one of them dies.
_PART_INPUTS = 32
_PART_BYTES = 64 * 1024
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
class PreparedEmbedding:
    """What a request has the engine compute, and how it is answered."""

    model: Model
    requests: list[PoolingRequest]
    dimensions: int | None
    is_base64: bool


class EmbeddingsView(EngineView):
    """POST /v1/embeddings."""

    def prepare(self, request: Request) -> PreparedEmbedding:
        """Return what a request has computed."""
        body = EmbeddingRequest.parse(request.data)
        inputs = by_path(body.input, "input")
        model = self.find_model(request, body.model, EMBEDS)
        if body.dimensions and model.embedding_length:
            _check_dimensions(body.dimensions, model.embedding_length, model.name)
        requests = pooling_requests(inputs, request, model, priority=body.priority)
        return PreparedEmbedding(
            model=model,
            requests=list(requests),
            dimensions=body.dimensions,
            is_base64=body.encoding_format == "base64",
        )

    @embedding_schema
    async def post(
        self, request: Request, prepared: PreparedEmbedding
    ) -> HttpResponseBase:
        """Make a vector of each input."""
        events = await self.run_whole(prepared.requests, queue_of(prepared.model))
        vectors = list(vectors_of(events))
        if prepared.dimensions:
            width = len(vectors[0]) // 4
            _check_dimensions(prepared.dimensions, width, prepared.model.name)
        body = await _embedding_list(vectors, prepared, usage_of(events))
        return HttpResponse(body, content_type="application/json")


def pooling_requests(
    inputs: Mapping[str, str | list[int]],
    request: Request,
    model: Model,
    *,
    query: str | None = None,
    priority: int = 0,
) -> Iterator[PoolingRequest]:
    """Yield a request's inputs, by their paths, in parts that workers can share."""
    share = key_share(request)
    paths, texts = tuple(inputs), tuple(inputs.values())
    for part in _parts(texts):
        yield PoolingRequest(
            request_id=new_request_id(),
            input_token_ids=(),
            inputs=texts[part],
            paths=paths[part],
            query=query,
            key=share.key,
            weight=share.weight,
            priority=priority,
        )


def _parts(inputs: Sequence[str | list[int]]) -> Iterator[slice]:
    first = size = 0
    for index, each in enumerate(inputs):
        is_full = index - first == _PART_INPUTS or size + size_of(each) > _PART_BYTES
        if is_full and index > first:
            yield slice(first, index)
            first, size = index, 0
        size += size_of(each)
    yield slice(first, len(inputs))


def vectors_of(events: Iterable[Sequence[Event]]) -> Iterator[bytes]:
    """Yield the vectors of all requests in order."""
    for output in _outputs(events):
        yield from output.vectors


def usage_of(events: Iterable[Sequence[Event]]) -> EmbeddingUsage:
    """Return the tokens of all requests."""
    tokens = sum(output.num_prompt for output in _outputs(events))
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def _outputs(events: Iterable[Sequence[Event]]) -> Iterator[PoolingOutput]:
    """Yield the last event of each request, which has its vectors."""
    for *_, last in events:
        assert isinstance(last, PoolingOutput)  # noqa: S101 - a worker's answer
        yield last


def _check_dimensions(dimensions: int, width: int, name: str) -> None:
    if dimensions > width:
        raise BadRequest(
            f"Invalid value for 'dimensions': {dimensions}, and the vectors of the "
            f"model '{name}' have {width} numbers.",
            param="dimensions",
        )


async def _embedding_list(
    vectors: Sequence[bytes], prepared: PreparedEmbedding, usage: EmbeddingUsage
) -> bytes:
    """Return an EmbeddingList as JSON, written while others run.

    json would take seconds for what may be millions of numbers, and write each as
    if it had 53 bits.
    """
    pieces = []
    unheard = 0
    for index, vector in enumerate(vectors):
        vector = (
            shortened(vector, prepared.dimensions) if prepared.dimensions else vector
        )
        text = _base64(vector) if prepared.is_base64 else _numbers(vector)
        pieces.append(
            b'{"object":"embedding","index":%d,"embedding":%b}' % (index, text)
        )
        unheard += len(vector) // 4
        if unheard >= _BREATH:
            unheard = 0
            await asyncio.sleep(0)
    rest = json.dumps(
        {"model": prepared.model.name, "usage": usage}, ensure_ascii=False
    )
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
